// The page of `greenlets/inspect` in a real Chromium, with 10,000 greenlets parked and others that work meanwhile. With PICTURE it also
// writes the picture of the README.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { chromium } from 'playwright-core'
import { serve } from '../../dist/inspect/index.js'
import { Greenlet, sleep, spawn } from '../../dist/index.js'
import { Lock } from '../../dist/tools/index.js'

const PARKED = Number(process.env.PARKED ?? 10_000)
const HOSTILE = '<img src=x onerror="document.title=1">\u001b[2J\u202e'

function readRow(id, depth) {
  return depth === 0 ? waitForAnswer(id) : readRow(id, depth - 1)
}
function waitForAnswer() {
  sleep(3_600_000)
}
const parked = Array.from({ length: PARKED }, (_, i) =>
  spawn.with({ name: `GET /orders/${i}` }, function handleOrder() {
    readRow(i, i % 7)
  }),
)
const workers = Array.from({ length: 20 }, (_, i) =>
  spawn.with({ name: `worker-${i}` }, function work() {
    for (;;) sleep(5 + i)
  }),
)
const [first, second] = [new Lock(), new Lock()]
const deadlocked = [
  spawn.with({ name: 'transfer A to B' }, () => lockBoth(first, second)),
  spawn.with({ name: 'transfer B to A' }, () => lockBoth(second, first)),
]
function lockBoth(one, other) {
  one.acquire()
  sleep(5)
  other.acquire()
}
const hostile = new Greenlet(
  function hostileOne() {
    Greenlet.main.switch()
  },
  { name: HOSTILE },
)
hostile.switch()

const served = await serve({ refresh: 200, limit: 2 * PARKED })
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] })
const problems = []
try {
  const page = await browser.newPage({ viewport: { width: 1360, height: 820 }, colorScheme: 'dark' })
  page.on('pageerror', (error) => problems.push(String(error)))
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()))
  await page.goto(served.url)
  await page.waitForFunction(() => document.body.dataset.connected === 'true')
  assert.equal(new URL(page.url()).search, '', 'the token does not stay in the address')
  const text = (selector) => page.locator(selector).innerText()
  const total = PARKED + 24
  await page.waitForFunction(
    (wanted) => document.querySelector('#counts').textContent.startsWith(wanted),
    total.toLocaleString('en'),
  )

  // Only the visible rows are in the document, and scrolling shows others.
  assert.ok((await page.locator('#list-rows .row').count()) < 100)
  await page.locator('#list-rows').evaluate((box) => (box.scrollTop = box.scrollHeight))
  await page.locator(`#list-rows [data-id="${hostile.serial}"]`).waitFor()

  // Names are text.
  assert.ok((await text(`#list-rows [data-id="${hostile.serial}"] .name`)).startsWith('<img src=x onerror='))
  assert.equal(await page.locator('img').count(), 0)

  // Search finds names, waits and frames.
  await page.keyboard.press('/')
  await page.keyboard.type(`orders/${PARKED - 1}`)
  await page.waitForFunction(() => document.querySelector('#found').textContent === '1 found')
  await page.keyboard.press('Escape')
  await page.keyboard.press('/')
  await page.keyboard.type('hostileOne')
  await page.waitForFunction(() => document.querySelector('#found').textContent === '1 found')
  await page.keyboard.press('Escape')

  // The panel has the stack with its source.
  await page.locator('#list-rows').evaluate((box) => (box.scrollTop = 0))
  await page.locator(`#list-rows [data-id="${parked[0].serial}"]`).click()
  await page.locator('#panel .here').waitFor()
  assert.match(await text('#panel .here'), /sleep\(3_600_000\)/)
  assert.match(await text('#panel'), /GET \/orders\/0/)

  // The tree: everything is below main, and folds.
  await page.keyboard.press('2')
  await page.locator('#tree-rows .toggle').first().click()
  assert.match(await text('#tree-rows [data-id="0"]'), /\+ [\d,]+/)
  assert.equal(await page.locator('#tree-rows .row').count(), 1)
  await page.locator('#tree-rows .toggle').first().click()

  // Equal stacks are one group, with their number.
  await page.keyboard.press('3')
  const largest = Number((await page.locator('#stacks .count').first().innerText()).replaceAll(',', ''))
  assert.ok(largest >= Math.floor(PARKED / 7))
  assert.match(await page.locator('#stacks .frames').first().innerText(), /waitForAnswer[^]*handleOrder/)

  // The flame: the widest frames are the outermost ones, and a click makes one as wide as the picture.
  await page.keyboard.press('4')
  const handler = page.locator('.flame', { hasText: 'handleOrder' }).first()
  assert.match(await handler.getAttribute('aria-label'), new RegExp(`: ${PARKED.toLocaleString('en')} greenlets`))

  // Deadlocks are pointed out.
  assert.match(await text('#warnings'), /Deadlock: .*transfer/)

  // The timeline moves.
  await page.keyboard.press('5')
  await page.waitForFunction(
    () => document.querySelector('polyline.line-suspended').getAttribute('points').split(' ').length > 4,
  )

  // A pause holds the picture; then it goes on.
  await page.keyboard.press('1')
  await page.keyboard.press('p')
  const late = spawn.with({ name: 'late' }, () => sleep(3_600_000))
  await new Promise((resolve) => setTimeout(resolve, 800))
  const paused = await text('#counts')
  assert.ok(paused.startsWith(total.toLocaleString('en')))
  await page.keyboard.press('p')
  await page.waitForFunction((old) => document.querySelector('#counts').textContent !== old, paused)
  late.kill()

  // The number of those that wait for a lock is right also in the rows of greenlets that were not resumed.
  const lock = new Lock()
  const holder = spawn(() => lock.run(() => sleep(3_600_000)))
  const lockers = [1, 2].map((i) => spawn.with({ name: `locker ${i}` }, () => lock.acquire()))
  await page.keyboard.press('/')
  await page.keyboard.type('locker')
  const waitsOfFirst = (wanted) =>
    page.waitForFunction(
      ([id, end]) => document.querySelector(`#list-rows [data-id="${id}"] .waits`)?.textContent.endsWith(end),
      [lockers[0].serial, wanted],
    )
  await waitsOfFirst(', 2 wait')
  await page.locator(`#list-rows [data-id="${lockers[0].serial}"]`).click()
  lockers.push(spawn.with({ name: 'locker 3' }, () => lock.acquire()))
  await waitsOfFirst(', 3 wait')
  assert.match(await text('#panel'), /, 3 wait/)
  lockers.pop().kill()
  await waitsOfFirst(', 2 wait')
  for (const each of [...lockers, holder]) each.kill()
  await page.keyboard.press('Escape')
  await page.keyboard.press('/')
  await page.keyboard.press('Escape')

  const [download] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('d')])
  assert.equal(JSON.parse(await readFile(await download.path(), 'utf8')).version, 1)

  // Dark and light.
  const back = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor)
  const dark = await back()
  await page.emulateMedia({ colorScheme: 'light' })
  assert.notEqual(await back(), dark)
  if (process.env.PICTURE !== undefined) {
    await page.locator(`#list-rows [data-id="${parked[0].serial}"]`).click()
    await page.screenshot({ path: process.env.PICTURE })
  }

  // The page says that it is not connected any more.
  await served.close()
  await page.waitForFunction(() => document.body.dataset.connected === 'false')
  assert.deepEqual(
    problems.filter((problem) => !problem.includes('ERR_CONNECTION') && !problem.includes('ERR_INCOMPLETE')),
    [],
  )
} finally {
  await browser.close()
}
for (const each of [...parked, ...workers, ...deadlocked]) each.kill()
hostile.kill()
console.log('ok')
process.exit()
