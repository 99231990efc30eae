// The end of a process that has greenlets. The event 'exit' stands for Python's atexit: it is the last JavaScript that runs.
// After it Node cleans up the environment; native code may run during that, JavaScript may not.

import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { fixturePath } from '../helpers/fixture.ts'
import { printed, runProgram } from '../helpers/program.ts'
import { ended } from '../helpers/workers.ts'

/** Runs a program that must end without an error after it has printed `said`, one item a line. */
async function endsWithoutError(
  t: ExecutionContext,
  said: readonly string[],
  source: string,
  before = '',
): Promise<void> {
  const { code, signal, stdout, stderr } = await runProgram(source, { before })
  t.deepEqual({ code, signal, stdout, stderr }, printed(`${said.join('\n')}\n`))
}

/** Program text that suspends `count` greenlets in main. */
const SUSPENDED = (count: number): string => `
  globalThis.greenlets = Array.from({ length: ${count} }, () => new Greenlet((x) => main.switch(x)))
  console.log(globalThis.greenlets.map((g, i) => g.switch(i)).length, 'suspended')
`

test('113 active_greenlet_at_shutdown_no_crash: a process ends with a suspended greenlet', (t) =>
  endsWithoutError(
    t,
    ['from worker'],
    `
    globalThis.g = new Greenlet(() => main.switch('from worker'))
    console.log(g.switch())
    `,
  ))

test('114 multiple_active_greenlets_at_shutdown: a process ends with ten suspended greenlets', (t) =>
  endsWithoutError(t, ['10 suspended'], SUSPENDED(10)))

test('115 nested_greenlets_at_shutdown: a process ends with a greenlet that another greenlet made', (t) =>
  endsWithoutError(
    t,
    ['outer done'],
    `
    globalThis.g = new Greenlet(() => {
      globalThis.inner = new Greenlet(() => Greenlet.current.parent.switch('inner done'))
      inner.switch()
      Greenlet.current.parent.switch('outer done')
    })
    console.log(g.switch())
    `,
  ))

const WORKER = new URL('../helpers/conformance-worker.mjs', import.meta.url)

test('116 threaded_greenlets_at_shutdown: Workers leave suspended greenlets behind', (t) =>
  endsWithoutError(
    t,
    ['2 0', '2 0', '2 0'],
    `
    const { Worker } = await import('node:worker_threads')
    // The text of this program is among these arguments; the Worker must not run it.
    const execArgv = process.execArgv.filter((flag) => flag.startsWith('--import='))
    for (let i = 0; i < 3; i++) {
      const worker = new Worker(new URL(${JSON.stringify(WORKER.href)}), { workerData: 'leave', execArgv })
      let count
      worker.on('message', (message) => (count = message))
      await new Promise((resolve) => worker.on('exit', (code) => resolve(console.log(count, code))))
    }
    `,
  ))

// When a thread ends, greenlet throws GreenletExit into suspended greenlets. A Worker that ends runs no more JavaScript after
// 'exit', so a program can do the same in that event. Greenlets that are left after it are freed and do not run.

test('117 greenlet_cleanup_during_thread_exit: a Worker can end its greenlets when it ends', async (t) => {
  t.deepEqual(await ended(new Worker(WORKER, { workerData: 'tidy' })), {
    code: 0,
    messages: ['GreenletExit', 'finally'],
  })
})

test('118 finally_block_during_thread_exit: greenlets that a Worker leaves suspended end without their finally blocks', async (t) => {
  t.deepEqual(await ended(new Worker(WORKER, { workerData: 'leave' })), { code: 0, messages: [2] })
})

test('119 many_greenlets_with_cleanup_at_shutdown: a process ends with 50 greenlets that have finally blocks', (t) =>
  endsWithoutError(
    t,
    ['50 suspended'],
    `
    globalThis.kept = Array.from({ length: 50 }, () => new Greenlet((x) => {
      try { main.switch(x) } catch (error) { console.log('caught'); throw error } finally { console.log('finally') }
    }))
    console.log(kept.map((g, i) => g.switch(i)).length, 'suspended')
    `,
  ))

test('120 deeply_nested_greenlets_at_shutdown: a process ends with a chain of parents', (t) =>
  endsWithoutError(
    t,
    ['depth-0', '12'],
    `
    const level = (depth) => {
      if (depth < 10) new Greenlet(level).switch(depth + 1)
      Greenlet.current.parent.switch('depth-' + depth)
    }
    globalThis.g = new Greenlet(level)
    console.log(g.switch(0))
    console.log(Greenlet.all().length)
    `,
  ))

test('121 greenlet_with_traceback_at_shutdown: a process ends with a greenlet suspended in a catch block', (t) =>
  endsWithoutError(
    t,
    ['suspended with an error'],
    `
    globalThis.g = new Greenlet(() => {
      try { throw new Error('test') } catch { main.switch('suspended with an error') }
    })
    console.log(g.switch())
    `,
  ))

/** Runs `action` in a listener for 'exit'. */
const AT_EXIT = (action: string): string => `
  process.on('exit', () => {
    ${action}
  })
  console.log('registered')
`

test('122 getcurrent_during_atexit_no_crash: main is current at the exit', (t) =>
  endsWithoutError(t, ['registered', 'true'], AT_EXIT('console.log(Greenlet.current === main)')))

test('123 gettrace_during_atexit_no_crash: gettrace() works at the exit', (t) =>
  endsWithoutError(t, ['registered', 'null'], AT_EXIT('console.log(greenlets.gettrace())')))

test('124 settrace_during_atexit_no_crash: settrace() works at the exit', (t) =>
  endsWithoutError(
    t,
    ['registered', 'switch', 'switch'],
    AT_EXIT('greenlets.settrace((event) => console.log(event)); new Greenlet(() => {}).switch()'),
  ))

test('125 getcurrent_with_active_greenlets_during_atexit: main is current at the exit with suspended greenlets, too', (t) =>
  endsWithoutError(
    t,
    ['5 suspended', 'registered', 'true 6'],
    SUSPENDED(5) + AT_EXIT('console.log(Greenlet.current === main, Greenlet.all().length)'),
  ))

test('126 greenlet_construction_during_atexit_no_crash: a greenlet can be made and run at the exit', (t) =>
  endsWithoutError(t, ['registered', '1'], AT_EXIT('console.log(new Greenlet(() => 1).switch())')))

test('127 greenlet_construction_with_active_greenlets_during_atexit: the same with suspended greenlets', (t) =>
  endsWithoutError(
    t,
    ['10 suspended', 'registered', '[0,1,2,3,4] 11'],
    SUSPENDED(10) +
      AT_EXIT(`
        const made = Array.from({ length: 5 }, (_, i) => new Greenlet(() => i))
        console.log(JSON.stringify(made.map((g) => g.switch())), Greenlet.all().length)
      `),
  ))

/** Program text that runs before greenlets are loaded: another add-on calls `action` in its cleanup hook, which runs after ours. */
const AT_CLEANUP = (action: string): string => `
  const { createRequire } = await import('node:module')
  const native = createRequire(process.cwd() + '/x.js')(${JSON.stringify(fixturePath())})
  native.atCleanup(() => {
    console.log('JavaScript runs')
    ${action}
  })
`

// Python can run a destructor after greenlet was finalized, and must refuse greenlet's functions there. Here Node refuses all
// JavaScript by then, so no code can ask greenlets anything. The test checks that the process ends without an error.

test('129 getcurrent_returns_none_during_gc_finalization: after the cleanup no JavaScript can ask for the current greenlet', (t) =>
  endsWithoutError(
    t,
    ['true', 'cleanup: JavaScript is refused'],
    'globalThis.G = Greenlet; console.log(new Greenlet(() => Greenlet.current !== main).switch())',
    AT_CLEANUP('console.log(String(globalThis.G.current))'),
  ))

test('130 getcurrent_returns_none_during_gc_finalization_with_active_greenlets: the same with suspended greenlets', (t) =>
  endsWithoutError(
    t,
    ['10 suspended', 'cleanup: JavaScript is refused'],
    `globalThis.G = Greenlet; ${SUSPENDED(10)}`,
    AT_CLEANUP('console.log(String(globalThis.G.current))'),
  ))

test('132 getcurrent_returns_none_during_atexit_phase: main is current in a listener that was added before greenlets', (t) =>
  endsWithoutError(
    t,
    ['loaded', 'true'],
    "globalThis.G = Greenlet; console.log('loaded')",
    "process.on('exit', () => console.log(globalThis.G.current === globalThis.G.main))",
  ))

test('133 getcurrent_returns_none_during_atexit_phase_with_active_greenlets: the same with suspended greenlets', (t) =>
  endsWithoutError(
    t,
    ['10 suspended', 'true'],
    `globalThis.G = Greenlet; ${SUSPENDED(10)}`,
    "process.on('exit', () => console.log(globalThis.G.current === globalThis.G.main))",
  ))

test('135 switch_no_error_at_module_gc_time: switches work in the last listener', (t) =>
  endsWithoutError(
    t,
    ['Destructor running', 'Result 1', 'cleanup: JavaScript is refused'],
    `
    const run = () => Greenlet.current.parent.switch(1)
    globalThis.gs = [new Greenlet(run), new Greenlet(run)]
    gs[1].switch()
    `,
    `${AT_CLEANUP('globalThis.gs[0].switch()')}
    process.on('exit', () => {
      console.log('Destructor running')
      console.log('Result', globalThis.gs[0].switch())
    })`,
  ))
