// The server of the page, without a browser; `__test__/browser` has the page itself.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runInThisContext } from 'node:vm'
import test from 'ava'
import type { DeadlockData } from '../../js/dump.ts'
import { Greenlet, sleep, spawn, wait } from '../../js/index.ts'
import { inspector, serve } from '../../js/inspect/index.ts'
import type { Refresh } from '../../js/inspect/feed.ts'
import { settle } from '../../js/testing/index.ts'
import { Lock, Queue } from '../../js/tools/index.ts'
import { pending } from '../helpers/promises.ts'

const TOKEN = 'a-token-for-the-tests'

interface Got {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

/** Not `fetch`, which does not set `Host`. */
function get(url: string, headers: Readonly<Record<string, string>> = {}, method = 'GET'): Promise<Got> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { headers, method, agent: false }, (res) => {
      let body = ''
      res.setEncoding('utf8').on('data', (text: string) => (body += text))
      res.on('end', () => resolve({ status: res.statusCode!, headers: res.headers, body }))
    })
    sent.on('error', reject).end()
  })
}

const COOKIE = `greenlets_inspect_${createHash('sha256').update(TOKEN).digest('hex').slice(0, 8)}=${TOKEN}`
const cookie = { cookie: `other=1; ${COOKIE}` }

/** Reads refreshes until `isEnough` of one, then disconnects. */
async function refreshes(url: string, isEnough: (refresh: Refresh) => boolean): Promise<Refresh[]> {
  const all: Refresh[] = []
  await new Promise<void>((resolve, reject) => {
    const sent = request(url, { headers: cookie, agent: false }, (res) => {
      let text = ''
      res.setEncoding('utf8').on('data', (part: string) => {
        text += part
        for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
          const refresh = JSON.parse(text.slice(text.indexOf('data: ') + 6, end)) as Refresh
          text = text.slice(end + 2)
          all.push(refresh)
          if (!isEnough(refresh)) continue
          sent.destroy()
          return resolve()
        }
      })
    })
    sent.on('error', reject).end()
  })
  return all
}

test.serial('serve() gives the page to this machine, with its token only', async (t) => {
  const page = await serve({ token: TOKEN })
  t.teardown(() => page.close())
  const base = `http://127.0.0.1:${page.port}`
  t.is(page.url, `${base}/?token=${TOKEN}`)
  for (const path of ['/', '/events', '/dump.json', '/source?file=x&line=1']) {
    t.is((await get(base + path)).status, 401, path)
    t.is((await get(`${base}${path}${path.includes('?') ? '&' : '?'}token=wrong`)).status, 401, path)
  }
  const entered = await get(page.url)
  t.is(entered.status, 303)
  t.is(entered.headers['location'], './')
  t.deepEqual(entered.headers['set-cookie'], [`${COOKIE}; HttpOnly; SameSite=Strict`])
  const { status, body, headers } = await get(`${base}/`, cookie)
  t.is(status, 200)
  t.true(body.includes('<title>greenlets</title>'))
  t.regex(String(headers['content-security-policy']), /^default-src 'none'; script-src 'sha256-/)
  t.is(headers['cache-control'], 'no-store')
  t.is((await get(`${base}/`, { ...cookie, host: 'evil.example' })).status, 403)
  t.is((await get(`${base}/`, { ...cookie, host: `localhost:${page.port}` })).status, 200)
  t.is((await get(`${base}/`, cookie, 'POST')).status, 405)
  t.is((await get(`${base}/`, cookie, 'HEAD')).body, '')
})

// The cookies of 127.0.0.1 go to all of its ports.
test.serial('the pages of two programs are open in one browser', async (t) => {
  const pages = [await serve(), await serve()]
  t.teardown(() => Promise.all(pages.map((page) => page.close())))
  const cookies: string[] = []
  for (const { url } of pages) cookies.push((await get(url)).headers['set-cookie']![0]!.split(';')[0]!)
  for (const { port } of pages) {
    const { status } = await get(`http://127.0.0.1:${port}/dump.json`, { cookie: cookies.join('; ') })
    t.is(status, 200)
  }
  t.is(new Set(cookies.map((each) => each.split('=')[0])).size, 2)
})

test.serial('dump.json is a dump, and hostile names are in it as text', async (t) => {
  const page = await serve({ token: TOKEN })
  const name = '</script><b>\u001B[31m'
  const g = new Greenlet(() => Greenlet.main.switch(), { name })
  g.switch()
  t.teardown(() => (g.kill(), page.close()))
  const { body, headers } = await get(`http://127.0.0.1:${page.port}/dump.json`, cookie)
  t.is(headers['content-type'], 'application/json')
  const { version, threads } = JSON.parse(body) as { version: number; threads: { greenlets: { name: string }[] }[] }
  t.is(version, 1)
  t.true(
    threads[0]!.greenlets.some(
      (each) => each.name === '</script><b>\\u001b[31m' || each.name === '</script><b>\\x1b[31m',
    ),
  )
})

test.serial('the events have everything first, and then only what has changed', async (t) => {
  const page = await serve({ token: TOKEN, refresh: 100 })
  const still = Array.from({ length: 50 }, () => spawn(() => sleep(60_000)))
  const ticker = spawn(function tick() {
    for (;;) sleep(20)
  })
  let late: ReturnType<typeof spawn> | undefined
  t.teardown(() => {
    for (const each of [...still, ticker, late]) each?.kill()
    return page.close()
  })
  const ids = new Set<number>()
  const url = `http://127.0.0.1:${page.port}/events`
  const all = await refreshes(url, (refresh) => {
    for (const { id } of refresh.greenlets) ids.add(id)
    if (!refresh.whole && late === undefined) late = spawn(() => sleep(60_000))
    else if (late !== undefined && ids.has(late.serial)) late.kill()
    return late !== undefined && refresh.ended.includes(late.serial)
  })
  const [first, ...others] = all as [Refresh, ...Refresh[]]
  t.true(first.whole)
  t.true(first.greenlets.length >= 52)
  t.is(first.greenlets.filter(({ id }) => id === still[0]!.serial)[0]!.state, 'suspended')
  t.true(others.length > 0)
  for (const { whole, greenlets } of others) {
    t.false(whole)
    t.false(greenlets.some(({ id }) => still.some(({ serial }) => serial === id)))
  }
  t.true(others.some(({ greenlets }) => greenlets.some(({ id }) => id === ticker.serial)))
  // Each stack that a greenlet names was told.
  const stacks = new Set(all.flatMap((refresh) => refresh.stacks.map(([index]) => index)))
  for (const { greenlets } of all) t.true(greenlets.every(({ stack }) => stack === undefined || stacks.has(stack)))
})

test.serial('a lock has the same number everywhere, and its new holder is told', async (t) => {
  const page = await serve({ token: TOKEN, refresh: 100 })
  const [first, second, passed] = [new Lock(), new Lock(), new Lock()]
  const both = (a: Lock, b: Lock) => () => a.run(() => (sleep(1), b.run(() => {})))
  const release = pending<void>()
  const others = [spawn(() => passed.run(() => wait(release.promise))), spawn(() => passed.run(() => sleep(60_000)))]
  const waiter = spawn(() => void passed.acquire())
  const locked = [spawn(both(first, second)), spawn(both(second, first))]
  t.teardown(() => {
    for (const each of [waiter, ...locked, ...others]) each.kill()
    return page.close()
  })
  await settle()
  const textOf = ({ greenlets, waits }: Refresh, { serial }: Greenlet): string | undefined =>
    (greenlets.find(({ id }) => id === serial)?.waits ?? waits.find(([id]) => id === serial)?.[1])?.text
  const all = await refreshes(`http://127.0.0.1:${page.port}/events`, (refresh) => {
    release.resolve()
    return !refresh.whole && textOf(refresh, waiter) !== undefined
  })
  t.regex(textOf(all[0]!, waiter)!, new RegExp(String.raw`^Lock #\d of '.*' \(#${others[0]!.serial}\)`))
  t.regex(textOf(all.at(-1)!, waiter)!, new RegExp(String.raw`^Lock #\d of '.*' \(#${others[1]!.serial}\)`))
  const [{ text }] = all[0]!.deadlocks as [DeadlockData]
  for (const each of locked) t.true(text.includes(textOf(all[0]!, each)!), text)
})

test.serial('source lines come from files that parked stacks name, and from no other', async (t) => {
  const page = await serve({ token: TOKEN })
  const g = spawn(() => sleep(60_000))
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.teardown(() => (g.kill(), page.close()))
  const found = g.gr_stack.find(({ fileName }) => fileName?.endsWith('page.spec.ts'))!
  const frame = found.original ?? found
  const ask = (file: string, line: number | string): Promise<Got> =>
    get(`http://127.0.0.1:${page.port}/source?${new URLSearchParams({ file, line: String(line) })}`, cookie)
  const good = await ask(frame.fileName!, frame.lineNumber!)
  t.is(good.status, 200)
  const { first, lines } = JSON.parse(good.body) as { first: number; lines: string[] }
  t.true(lines[frame.lineNumber! - first]!.includes('sleep(60_000)'))
  t.is((await ask('/etc/passwd', 1)).status, 404)
  t.is((await ask(frame.fileName!, 1e6)).status, 404)
  t.is((await ask(frame.fileName!, 'x')).status, 400)
  t.is((await ask('', 1)).status, 404)
})

test.serial(
  'an open page is asked first which files are named, and a dump is made at most once in a refresh',
  async (t) => {
    const page = await serve({ token: TOKEN, refresh: 3_600_000 })
    const folder = mkdtempSync(join(tmpdir(), 'greenlets-page-'))
    const park = (name: string): Greenlet => {
      const file = join(folder, name)
      writeFileSync(file, `the only line of ${name}`)
      const stop = runInThisContext('(stop) => stop()', { filename: file }) as (stop: () => unknown) => unknown
      const g = new Greenlet(() => stop(() => Greenlet.main.switch()))
      g.switch()
      return g
    }
    const statusOf = async (name: string): Promise<number> => {
      const query = new URLSearchParams({ file: join(folder, name), line: '1' })
      return (await get(`http://127.0.0.1:${page.port}/source?${query}`, cookie)).status
    }
    const parked = [park('a')]
    t.teardown(() => {
      for (const each of parked) each.kill()
      rmSync(folder, { recursive: true })
      return page.close()
    })
    t.is(await statusOf('a'), 200)
    parked.push(park('b'))
    // The dump for `a` is not an hour old.
    t.is(await statusOf('b'), 404)
    const open = request(`http://127.0.0.1:${page.port}/events`, { headers: cookie, agent: false })
    open.on('error', () => {}).end()
    const [response] = (await once(open, 'response')) as [IncomingMessage]
    await once(response, 'data')
    t.is(await statusOf('b'), 200)
    // A path is a text: another text for a named file, and a path that leads out of one, are not named.
    for (const other of ['x/../b', 'b/../../../../../../etc/passwd', './b', 'B']) {
      const query = new URLSearchParams({ file: `${folder}/${other}`, line: '1' })
      t.is((await get(`http://127.0.0.1:${page.port}/source?${query}`, cookie)).status, 404, other)
    }
    open.destroy()
  },
)

test.serial('the number of those that wait is told, also to greenlets that were not resumed', async (t) => {
  const page = await serve({ token: TOKEN, refresh: 100 })
  const queue = new Queue<number>()
  const take = (): void => void queue.get()
  const first = spawn(take)
  const others: Greenlet[] = []
  t.teardown(() => {
    for (const each of [first, ...others]) each.kill()
    return page.close()
  })
  await settle()
  const all = await refreshes(`http://127.0.0.1:${page.port}/events`, (refresh) => {
    if (refresh.whole) others.push(spawn(take), spawn(take))
    return refresh.waits.some(([id, { text }]) => id === first.serial && text.endsWith(', 3 wait'))
  })
  t.regex(all[0]!.greenlets.find(({ id }) => id === first.serial)!.waits!.text, /^an item of Queue #\d+$/)
  // Its stack was not read again.
  t.true(all.slice(1).every(({ greenlets }) => !greenlets.some(({ id }) => id === first.serial)))
})

test.serial('a pipe that a frame names is not read', async (t) => {
  const page = await serve({ token: TOKEN })
  const folder = mkdtempSync(join(tmpdir(), 'greenlets-page-'))
  const file = join(folder, 'pipe')
  spawnSync('mkfifo', [file])
  const inPipe = runInThisContext('(stop) => stop()', { filename: file }) as (stop: () => unknown) => unknown
  const g = new Greenlet(() => inPipe(() => Greenlet.main.switch()))
  g.switch()
  t.teardown(() => {
    g.kill()
    rmSync(folder, { recursive: true })
    return page.close()
  })
  const { status } = await get(
    `http://127.0.0.1:${page.port}/source?${new URLSearchParams({ file, line: '1' })}`,
    cookie,
  )
  t.is(status, 404)
})

test.serial('inspector() is mounted anywhere, and answers a web Request', async (t) => {
  const page = inspector({ token: null })
  const server = createServer((req, res) => page(req, res)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => (page.close(), server.close()))
  const { port } = server.address() as { port: number }
  t.is((await get(`http://127.0.0.1:${port}/deep/inspect`)).headers['location'], './inspect/')
  t.is((await get(`http://127.0.0.1:${port}/deep/inspect/`)).status, 200)
  t.is((await get(`http://127.0.0.1:${port}/deep/inspect/dump.json`)).status, 200)
  // No redirect leads to another host.
  t.is((await get(`http://127.0.0.1:${port}//evil.example`)).headers['location'], './evil.example/')

  const answer = await page.fetch(new Request('http://host/inspect/'))
  t.is(answer.status, 200)
  t.true((await answer.text()).startsWith('<!doctype html>'))
  const events = await page.fetch(new Request('http://host/inspect/events'))
  const reader = events.body!.getReader()
  const { value } = await reader.read()
  t.true(new TextDecoder().decode(value).startsWith('event: refresh\ndata: {"whole":true'))
  page.close()
  // One more event may have been on its way.
  while (!(await reader.read()).done);
  t.pass()
})

test.serial('a reader of a web Response that is always ready gets no more events than others', async (t) => {
  const page = inspector({ token: null, refresh: 3_600_000 })
  const { body } = await page.fetch(new Request('http://host/events'))
  const reader = body!.getReader()
  t.false((await reader.read()).done)
  const second = reader.read()
  const nothing = new Promise((resolve) => setTimeout(resolve, 200, 'nothing'))
  t.is(await Promise.race([second, nothing]), 'nothing')
  page.close()
  t.true((await second).done)
})

test('wrong options are refused', async (t) => {
  const invalid = { code: 'ERR_GREENLET_INVALID_ARG' }
  t.throws(() => inspector({ token: 'short' }), { ...invalid, instanceOf: RangeError })
  t.throws(() => inspector({ token: 'semicolon;semicolon' }), invalid)
  t.throws(() => inspector({ refresh: 1 }), { ...invalid, instanceOf: RangeError })
  t.throws(() => inspector({ wrong: 1 } as object), { ...invalid, message: /has no option 'wrong'/ })
  await t.throwsAsync(serve({ port: -1 }), invalid)
  await t.throwsAsync(serve({ wrong: 1 } as object), {
    ...invalid,
    message: /has no option 'wrong'; it has port, token/,
  })
})

test.serial('a server that is in use is an error of Node.js', async (t) => {
  const page = await serve()
  await t.throwsAsync(serve({ port: page.port }), { code: 'EADDRINUSE' })
  await page.close()
})
