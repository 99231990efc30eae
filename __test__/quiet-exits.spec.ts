// A GreenletExit is not reported as an error wherever the host catches it: in async functions, promise executors, listeners of an
// EventTarget. Each program would end with code 1 otherwise.

import test from 'ava'
import { printed, runProgram } from './helpers/program.ts'

/** Code that is killed while it waits, as the body of a greenlet's function. */
const CAUGHT: Readonly<Record<string, string>> = {
  'an async function': 'async function load() { wait(never) }; load()',
  'the function of spawn()': 'return (async () => { wait(never) })()',
  'an async function below an async function':
    'async function inner() { wait(never) }; (async () => { await inner() })()',
  'an async method of which the result is dropped': '({ async load() { return wait(never) } }).load()',
  'the executor of a promise': 'new Promise((resolve) => resolve(wait(never)))',
  'the executor of a subclass of Promise': 'new (class extends Promise {})((resolve) => resolve(wait(never)))',
  'Promise.all() of async functions': 'Promise.all([(async () => wait(never))(), 1])',
  'an async generator': '(async function* () { wait(never); yield 1 })().next()',
  'a generator that for await iterates':
    '(async () => { for await (const x of (function* () { wait(never); yield 1 })()) void x })()',
  'a listener of an EventTarget': `const target = new EventTarget(); target.addEventListener('x', () => wait(never)); target.dispatchEvent(new Event('x'))`,
  'an object that is a listener': `const target = new EventTarget(); target.addEventListener('x', { handleEvent() { wait(never) } }); target.dispatchEvent(new Event('x'))`,
  'a listener of an AbortSignal': `const c = new AbortController(); c.signal.addEventListener('abort', () => wait(never)); c.abort()`,
  'an async listener of an emitter with captureRejections': `const e = new EventEmitter({ captureRejections: true }); e.on('x', async () => { wait(never) }); e.emit('x')`,
  'read() of a stream': 'new Readable({ read() { wait(never) } }).read()',
  'a subscriber of a diagnostics channel': `const c = channel('quiet'); c.subscribe(() => wait(never)); c.publish(1)`,
  'a function of util.callbackify': 'callbackify(async () => wait(never))((error) => { if (error) throw error })',
  'an async function in a vm context': `vm.runInNewContext('(async () => { wait(never) })()', { wait, never })`,
}
const IMPORTS = `import { EventEmitter } from 'node:events'
import { Readable } from 'node:stream'
import { channel } from 'node:diagnostics_channel'
import { callbackify } from 'node:util'
import vm from 'node:vm'
const never = new Promise(() => {}), alive = setInterval(() => {}, 1000)
const turns = async (n) => { while (n-- > 0) await new Promise(setImmediate) }`

const MODES = ['throw', 'strict', 'warn', 'none', 'warn-with-error-code']

for (const [where, body] of Object.entries(CAUGHT)) {
  test(`kill() inside of ${where} is quiet`, async (t) => {
    const mode = MODES[Object.keys(CAUGHT).indexOf(where) % MODES.length]
    const ending = await runProgram(
      `${IMPORTS}
       process.on('exit', (code) => console.log(g.state, code))
       const g = spawn(() => { ${body} })
       await turns(3)
       g.kill()
       await turns(5)
       clearInterval(alive)`,
      { flags: [`--unhandled-rejections=${mode}`] },
    )
    t.deepEqual(ending, printed('dead 0\n'))
  })
}

for (const mode of MODES) {
  test(`exits are quiet and errors are not with --unhandled-rejections=${mode}`, async (t) => {
    const { stdout } = await runProgram(
      `${IMPORTS}
       const seen = (what) => (error) => console.log(what, error?.message ?? error)
       process.on('unhandledRejection', seen('unhandled')).on('uncaughtException', seen('uncaught'))
       process.on('uncaughtExceptionMonitor', seen('monitor')).on('rejectionHandled', () => console.log('handled'))
       const target = new EventTarget()
       target.addEventListener('x', () => wait(never))
       const g = spawn(() => { (async () => { wait(never) })() })
       const h = spawn(() => { target.dispatchEvent(new Event('x')) })
       await turns(3)
       g.kill(); h.kill()
       await turns(5)
       console.log('killed')
       Promise.reject(new Error('an error'))
       await turns(5)
       clearInterval(alive)`,
      { flags: [`--unhandled-rejections=${mode}`] },
    )
    const strict = ['monitor an error', 'uncaught an error', 'unhandled an error']
    t.deepEqual(stdout.trim().split('\n'), ['killed', ...(mode === 'strict' ? strict : ['unhandled an error'])])
  })
}

test('code that awaits an async function that was killed gets the exit', async (t) => {
  const ending = await runProgram(
    `${IMPORTS}
     let promise
     const g = spawn(() => { promise = (async () => { wait(never) })(); return 'went on' })
     await turns(3)
     g.kill()
     await turns(5) // It has had no handler until now.
     try { await promise } catch (error) { console.log(error instanceof GreenletExit) }
     console.log(await g)
     const h = spawn(async () => { wait(never) })
     await turns(3)
     h.kill()
     try { await h } catch (error) { console.log(error.code, error.cause instanceof GreenletExit) }
     clearInterval(alive)`,
  )
  t.deepEqual(ending, printed('true\nwent on\nERR_GREENLET_KILLED true\n'))
})

test('an async function that throws something else in a killed greenlet is an unhandled rejection', async (t) => {
  const { code, stderr } = await runProgram(
    `${IMPORTS}
     const g = spawn(() => { (async () => { try { wait(never) } catch { throw new Error('cleanup failed') } })() })
     await turns(3)
     g.kill()
     await turns(3)
     clearInterval(alive)`,
  )
  t.regex(stderr, /Error: cleanup failed/)
  t.is(code, 1)
})

test('a GreenletExit of main is an error', async (t) => {
  const programs = {
    rejected: 'Promise.reject(new GreenletExit()); await turns(3)',
    thrown: 'setTimeout(() => { throw new GreenletExit() })',
    sent: 'setTimeout(() => new Greenlet(() => main.throw()).switch())',
  }
  for (const [what, source] of Object.entries(programs)) {
    const { code, stderr } = await runProgram(
      `${IMPORTS}\nnew Greenlet(() => {}).switch(); ${source}; clearInterval(alive)`,
    )
    t.regex(stderr, /GreenletExit/, what)
    t.is(code, 1, what)
  }
})

test('a callback of Node.js may kill, wherever the event loop calls it', async (t) => {
  const ending = await runProgram(
    `${IMPORTS}
     import http from 'node:http'
     import { once } from 'node:events'
     const one = () => { const g = spawn(async () => { wait(never) }); all.push(g); return g }
     const all = []
     const next = async (arrange) => { const g = one(); await turns(2); arrange(g); await turns(4); while (!g.dead) await turns(1) }
     await next((g) => setTimeout(() => g.kill()))
     await next((g) => setImmediate(() => g.kill()))
     await next((g) => process.nextTick(() => g.kill()))
     await next((g) => queueMicrotask(() => g.kill()))
     await next((g) => Promise.resolve().then(() => g.kill()))
     await next((g) => Readable.from(['x']).on('data', () => g.kill()))
     const server = http.createServer((request, response) => { response.end(); last.kill() }).listen(0)
     await once(server, 'listening')
     const last = one()
     await turns(2)
     await (await fetch('http://localhost:' + server.address().port)).text()
     server.close(); server.closeAllConnections()
     const atExit = one()
     await turns(2)
     process.on('exit', (code) => { atExit.kill(); console.log(all.every((g) => g.dead), code) })
     clearInterval(alive)`,
  )
  t.deepEqual(ending, printed('true 0\n'))
})

test('async ids and stores are in order after a quiet exit', async (t) => {
  const ending = await runProgram(
    `${IMPORTS}
     import { AsyncLocalStorage, createHook, executionAsyncId } from 'node:async_hooks'
     const als = new AsyncLocalStorage()
     let depth = 0
     createHook({ before() { depth++ }, after() { depth-- } }).enable()
     const target = new EventTarget()
     target.addEventListener('x', () => wait(never))
     for (let i = 0; i < 20; i++) {
       const g = als.run(i, () => spawn(() => { target.dispatchEvent(new Event('x')) }))
       await turns(3)
       als.run('main', () => g.kill())
       await turns(3)
       if (als.getStore() !== undefined) console.log('store', als.getStore())
     }
     // A new callback of the event loop begins with an empty stack, or Node ends the process.
     setTimeout(() => { console.log(executionAsyncId() > 0, depth); clearInterval(alive) }, 5)`,
  )
  t.deepEqual(ending, printed('true 1\n'))
})

test('a capture callback gets errors and no exits', async (t) => {
  const ending = await runProgram(
    `${IMPORTS}
     process.setUncaughtExceptionCaptureCallback((error) => console.log(error.message))
     const target = new EventTarget()
     target.addEventListener('x', () => wait(never))
     const g = spawn(() => { target.dispatchEvent(new Event('x')) })
     await turns(3)
     g.kill()
     await turns(3)
     setTimeout(() => { throw new Error('an error') })
     setTimeout(() => clearInterval(alive), 5)`,
  )
  t.deepEqual(ending, printed('an error\n'))
})

test('exits are quiet in a Worker, and after it', async (t) => {
  const ending = await runProgram(
    `${IMPORTS}
     import { Worker } from 'node:worker_threads'
     import { once } from 'node:events'
     import { pathToFileURL } from 'node:url'
     const text = \`import(\${JSON.stringify(pathToFileURL('js/index.ts').href)}).then(async ({ spawn, wait }) => {
       const g = spawn(async () => { wait(new Promise(() => {})) })
       setTimeout(() => { g.kill(); setTimeout(() => console.log(g.state), 5) }, 5)
       const target = new EventTarget()
       target.addEventListener('x', () => wait(new Promise(() => {})))
       const h = spawn(() => { target.dispatchEvent(new Event('x')) })
       setTimeout(() => h.kill(), 5)
     })\`
     const [ended] = await once(new Worker(text, { eval: true }), 'exit')
     console.log(ended)
     const g = spawn(async () => { wait(never) })
     await turns(2)
     g.kill()
     await turns(3)
     clearInterval(alive)`,
  )
  t.deepEqual(ending, printed('dead\n0\n'))
})
