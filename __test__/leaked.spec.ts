import test from 'ava'
import { LANE } from './helpers/lane.ts'
import { runProgram } from './helpers/program.ts'

const LEAVING = `
  function acquire() { return main.switch('parked') }
  function waiter() { sleep(1e6) }
  const held = new Greenlet(function holder() { return [1].map(() => acquire()) }, { name: 'the first' })
  held.switch()
  new Greenlet(waiter).switch()
  const ended = new Greenlet(() => main.switch())
  ended.switch()
  ended.kill()
  new Greenlet(() => {})
`
const ASKED = `process.env.GREENLETS_WARN_LEAKED = '1'`

test('GREENLETS_WARN_LEAKED names the greenlets that are left suspended, with their stacks', async (t) => {
  const { code, stderr } = await runProgram(`${LEAVING}; process.exit(3)`, { before: ASKED })
  t.is(code, 3)
  t.regex(
    stderr,
    /^greenlets: left suspended at the end: 2 \(GREENLETS_WARN_LEAKED\)\n'the first' suspended active started\n\s+at acquire .*\n(.*\n){2}\s+at (Greenlet\.)?holder .*\n'waiter' suspended active started waiting\n\s+at waiter .*\n$/,
  )
})

test('nothing is printed without GREENLETS_WARN_LEAKED, or if no greenlet is left', async (t) => {
  t.is((await runProgram(`${LEAVING}; process.exit()`)).stderr, '')
  const { code, stderr } = await runProgram(`new Greenlet(() => main.switch()).switch(); Greenlet.all()[1].kill()`, {
    before: ASKED,
  })
  t.deepEqual([code, stderr], [0, ''])
})

test('the greenlet that calls process.exit() is not listed, and further ones are counted', async (t) => {
  // More than there are slots, where stacks are spilled.
  const count = LANE === 'fast' ? 1030 : 1000
  const { code, stderr } = await runProgram(
    `for (let i = 0; i < ${count}; i++) new Greenlet(() => main.switch(), { name: 'g' + i }).switch()
     new Greenlet(() => process.exit(4), { name: 'exiting' }).switch()`,
    { before: ASKED },
  )
  t.is(code, 4)
  t.true(stderr.startsWith(`greenlets: left suspended at the end: ${count} `), stderr)
  t.regex(stderr, /'g19' suspended/)
  t.true(stderr.endsWith(`\n... and ${count - 20} more\n`), stderr)
  t.notRegex(stderr, /exiting/)
})

test('up to 20 greenlets are listed, and further ones are only counted', async (t) => {
  for (const [count, end] of [
    [20, "'g19' suspended"],
    [21, '... and 1 more'],
  ] as const) {
    const { code, stderr } = await runProgram(
      `for (let i = 0; i < ${count}; i++) new Greenlet(() => main.switch(), { name: 'g' + i }).switch()`,
      { before: ASKED },
    )
    t.is(code, 0)
    t.is(stderr.match(/^'g\d+' suspended/gm)?.length, 20)
    t.is(stderr.includes(' more\n'), count > 20)
    t.true(stderr.includes(end), stderr)
  }
})

test('a Worker lists its own greenlets', async (t) => {
  const { code, stderr } = await runProgram(
    `const { Worker } = await import('node:worker_threads')
     const execArgv = process.execArgv.filter((flag) => flag.startsWith('--import'))
     new Worker(process.cwd() + '/__test__/helpers/worker.mjs', { execArgv, workerData: { parked: 3, rounds: 10 } })`,
    { before: ASKED },
  )
  t.is(code, 0)
  t.regex(stderr, /^greenlets: left suspended at the end: 3 /)
})
