// The order in which suspended greenlets end, when the thread ends or they become unreachable: the one that was suspended last
// ends first. They are inside an add-on that needs this order.

import { Worker } from 'node:worker_threads'
import test from 'ava'
import { lastFirstFile } from './helpers/addon.ts'
import { makePrints } from './helpers/prints.ts'

const HEAD = `
  const { lastFirst } = (await import('./__test__/helpers/addon.ts')).loadLastFirst()
  /** They enter the add-on in another order than that in which they are made. */
  function enter(turns) {
    const all = turns.map((turn) => new Greenlet(() => {
      for (let i = 0; i < turn; i++) main.switch()
      lastFirst(() => main.switch())
    }))
    for (let i = 0; i <= Math.max(...turns); i++) for (const [j, g] of all.entries()) if (i <= turns[j]) g.switch()
    return all
  }
`

/** A macro: the program ends without an error and prints this. */
const ends = makePrints({ head: HEAD, flags: ['--expose-gc'] })

test('a program ends with two greenlets inside', ends, 'globalThis.held = enter([0, 0])')
test('a program ends with greenlets that went inside in any order', ends, 'globalThis.held = enter([2, 0, 3, 1, 0, 4])')
test('process.exit() with greenlets inside', ends, 'globalThis.held = enter([2, 0, 3, 1]); process.exit()')
test(
  'process.exit() in a greenlet that is inside too',
  ends,
  'globalThis.held = enter([1, 0]); new Greenlet(() => lastFirst(() => process.exit())).switch()',
)

test(
  'greenlets in used places of the table end in the right order',
  ends,
  `
  const gone = Array.from({ length: 6 }, () => new Greenlet(() => main.switch()))
  for (const g of gone) g.switch()
  for (const i of [4, 1, 5, 0, 2]) gone[i].switch()
  globalThis.held = enter([0, 0, 0, 0, 0, 0, 0])`,
)

test(
  'greenlets that go on inside end in the order in which they were suspended again',
  ends,
  `
  const [a, b] = [0, 1].map(() => new Greenlet(() => { main.switch(); lastFirst(() => { main.switch(); main.switch() }) }))
  a.switch(); b.switch(); a.switch(); b.switch(); b.switch()
  globalThis.held = [a, b]`,
)

test(
  'unreachable greenlets end in the right order',
  ends,
  `
  enter([2, 0, 3, 1, 0])
  for (let i = 0; i < 10; i++) { await new Promise((resolve) => setTimeout(resolve)); gc() }
  console.log(Greenlet.all().length)`,
  '1\n',
)

for (const end of ['dry', 'exit', 'error', 'terminate']) {
  test(`a Worker ends with greenlets inside: ${end}`, async (t) => {
    const file = new URL('helpers/last-first-worker.mjs', import.meta.url)
    const worker = new Worker(file, { execArgv: [], workerData: { file: lastFirstFile(), end } })
    worker.on('error', () => {})
    worker.on('message', () => void worker.terminate())
    const code = await new Promise((resolve) => worker.once('exit', resolve))
    t.is(code, end === 'error' || end === 'terminate' ? 1 : 0)
  })
}
