import { Worker } from 'node:worker_threads'
import test from 'ava'
import { register } from '../js/core/registry.ts'
import { recordOf } from '../js/greenlet/greenlet.ts'
import { Greenlet } from '../js/index.ts'
import { ENDED, FLAGS, mail } from '../js/native/contract.ts'
import { type Ending, runProgram } from './helpers/program.ts'
import { ended } from './helpers/workers.ts'

/** A macro: the program ends with this exit code, and prints this. */
const ends = test.macro(async (t, source: string, expected: Partial<Ending>, flags: string[] = []) => {
  const { code, signal, stdout, stderr } = await runProgram(source, { flags })
  t.deepEqual({ code, signal, stdout, stderr }, { code: 0, signal: null, stdout: '', stderr: '', ...expected })
})

const PARK = `
  function park(n, depth = 0) {
    return Array.from({ length: n }, () => {
      const dive = (left) => (left === 0 ? main.switch() : [left].map(() => dive(left - 1)))
      const g = new Greenlet(() => { try { dive(depth) } finally { console.log('finally') } })
      g.switch()
      return g
    })
  }
`

test('a program ends with one suspended greenlet', ends, `${PARK} park(1)`, {})
test('a program ends with 1,000 suspended greenlets', ends, `${PARK} globalThis.held = park(1000, 5)`, {})
test('a program ends with 50 unreachable greenlets', ends, `${PARK} park(50); console.log('end')`, {
  stdout: 'end\n',
})

test(
  'a program ends with greenlets suspended in greenlets',
  ends,
  `
  let depth = 0
  const nest = () => { if (++depth < 10) new Greenlet(nest).switch(); main.switch() }
  new Greenlet(nest).switch()
  console.log(depth)`,
  { stdout: '10\n' },
)

test(
  'a program ends with a greenlet suspended in a catch block',
  ends,
  `
  const g = new Greenlet(() => { try { throw new Error('x') } catch { main.switch() } })
  g.switch()`,
  {},
)

test(
  'a program ends although greenlets wait for promises that never settle',
  ends,
  `
  spawn(() => wait(new Promise(() => {})))
  process.on('exit', () => console.log('exit'))`,
  { stdout: 'exit\n' },
)

test(
  'process.exit() inside a greenlet ends the program, without finally blocks',
  ends,
  `
  ${PARK} park(10)
  new Greenlet(() => { try { [1].map(() => process.exit(7)) } finally { console.log('finally') } }).switch()
  console.log('not reached')`,
  { code: 7 },
)

test(
  'process.exit() inside a greenlet runs exit handlers, which may switch',
  ends,
  `
  process.on('exit', (code) => {
    console.log('exit', code, Greenlet.current.name)
    console.log(new Greenlet((x) => x * 2).switch(21))
  })
  new Greenlet(() => process.exit(3), { name: 'exiting' }).switch()`,
  { code: 3, stdout: 'exit 3 exiting\n42\n' },
)

test(
  'process.exit() with 1,000 suspended greenlets',
  ends,
  `${PARK} globalThis.held = park(1000); new Greenlet(() => process.exit(5)).switch()`,
  { code: 5 },
)

test(
  'greenlets can be made, switched to and read while the program exits',
  ends,
  `
  ${PARK} const parked = park(5)
  process.on('exit', () => {
    console.log(Greenlet.current === main, Greenlet.all().length, parked[0].gr_stack.length)
    console.log(new Greenlet(() => 'made late').switch())
    parked[1].kill()
  })`,
  { stdout: 'true 6 2\nmade late\nfinally\n' },
)

test('an uncaught error of a greenlet ends the program as any other error', async (t) => {
  const { code, stderr } = await runProgram(`
    ${PARK} park(10)
    new Greenlet(function thrower() { throw new RangeError('not caught') }).switch()
  `)
  t.is(code, 1)
  t.regex(stderr, /RangeError: not caught\n\s+at .*thrower/)
})

test(
  'an uncaught error of a greenlet goes to uncaughtException',
  ends,
  `
  process.on('uncaughtException', (error) => console.log('uncaught', error.message))
  setImmediate(() => {
    new Greenlet(() => { throw new Error('in a callback') }).switch()
  })
  const waiter = new Greenlet(() => { wait(Promise.resolve()); throw new Error('after a wait') })
  waiter.switch()
  const sleeper = new Greenlet(() => { sleep(200); throw new Error('after a sleep') })
  sleeper.switch()`,
  { stdout: 'uncaught after a wait\nuncaught in a callback\nuncaught after a sleep\n' },
)

test(
  'an error after a wait is not treated as a rejection of the promise',
  ends,
  `
  process.on('unhandledRejection', () => console.log('wrong'))
  process.on('uncaughtException', (error, origin) => console.log(origin, error.message))
  new Greenlet(() => { wait(Promise.resolve()); throw new Error('own') }).switch()`,
  { stdout: 'uncaughtException own\n' },
)

test('a program with suspended greenlets can be killed by a signal', async (t) => {
  const { signal } = await runProgram(
    `${PARK} park(10); process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000)`,
  )
  t.is(signal, 'SIGTERM')
})

test(
  'a listener for beforeExit may start greenlets',
  ends,
  `
  let n = 0
  process.on('beforeExit', () => { if (n++ < 2) spawn(() => { sleep(1); console.log('again', n) }) })`,
  { stdout: 'again 1\nagain 2\n' },
)

test('top-level await of a greenlet works', ends, `console.log(await spawn(() => { sleep(1); return 'done' }))`, {
  stdout: 'done\n',
})

test(
  'a time limit of vm ends one greenlet and does not affect the others',
  ends,
  `
  const vm = await import('node:vm')
  const limited = (g) => {
    try {
      vm.runInNewContext('g.switch()', { g }, { timeout: 300 })
    } catch (error) {
      console.log(error.code, Greenlet.current === main, g.state, g.gr_frame)
    }
  }
  const parked = new Greenlet(() => main.switch('parked'))
  parked.switch()
  const looper = new Greenlet(() => { for (;;); })
  limited(looper)
  console.log(looper.switch('to the parent'), parked.switch('on'), new Greenlet((x) => x).switch(5))
  const spawned = spawn(() => { for (;;); })
  limited(spawned)
  await spawned.then(null, (error) => console.log(error instanceof GreenletError, error.code))
  console.log(await spawn(() => { sleep(5); return Greenlet.all().length }))`,
  {
    stdout: `ERR_SCRIPT_EXECUTION_TIMEOUT true dead null
to the parent on 5
ERR_SCRIPT_EXECUTION_TIMEOUT true dead null
true ERR_GREENLET_ENDED
2
`,
  },
)

// V8 looks for the end of a time limit where a function begins: also in the one that throws the error of another greenlet.
test(
  'time limits that end switches with errors leave the thread able to switch',
  ends,
  `
  const vm = await import('node:vm')
  const loop = () => { for (;;) try { new Greenlet(() => { throw 1 }).switch() } catch {} }
  for (let i = 0; i < 150; i++) {
    try { vm.runInNewContext('loop()', { loop }, { timeout: 1 + i % 3 }) } catch {}
    new Greenlet(() => 1).switch()
  }
  console.log(new Greenlet((x) => x).switch(5))`,
  { stdout: '5\n' },
)

test('a greenlet of which V8 has ended the JavaScript in the middle of its own end is not kept', async (t) => {
  const greenlet = new Greenlet(() => 1)
  greenlet.switch()
  // As it is where a time limit ends `finish()` before the greenlet is taken out of the registry.
  register(recordOf(greenlet))
  mail[FLAGS]! |= ENDED
  t.deepEqual(Greenlet.all(), [Greenlet.main])
  await greenlet.ended
})

// Learning about V8 and the self-test take some milliseconds. The limits end them, and the code after them, in many places.
test('a time limit that ends the first greenlet of a thread leaves the thread as it was before', async (t) => {
  const file = new URL('helpers/limited-worker.mjs', import.meta.url)
  for (let limit = 1; limit <= 30; limit += 3) {
    const { messages } = await ended(new Worker(file, { workerData: limit }))
    t.deepEqual(messages, [['ERR_SCRIPT_EXECUTION_TIMEOUT', [2]]], `${limit} ms`)
  }
})
