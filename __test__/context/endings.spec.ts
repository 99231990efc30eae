// Async context at hard ends: uncaught errors, process.exit(), terminated threads, time limits.

import test from 'ava'
import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { runProgram } from '../helpers/program.ts'

const before = `
import { AsyncLocalStorage, AsyncResource, createHook, executionAsyncId, executionAsyncResource } from 'node:async_hooks'
const store = new AsyncLocalStorage()
const nested = (depth, fn) => depth === 0 ? fn() : new AsyncResource('N').runInAsyncScope(() => nested(depth - 1, fn))
`

/** With async hooks, Node.js checks the stack of async ids strictly. */
for (const [how, hook] of [
  ['', ''],
  [' (with async hooks)', `createHook({ init() {}, before() {}, after() {}, destroy() {} }).enable()\n`],
] as const) {
  const program = (source: string, flags: string[] = []) => runProgram(hook + source, { before, flags })

  test(`an uncaught exception on main, in scopes, while greenlets are parked${how}`, async (t) => {
    const { code, stdout, stderr } = await program(`
      const parked = Array.from({ length: 5 }, (_, i) => new Greenlet(() => store.run(i, () => nested(i, () => {
        const id = executionAsyncId()
        main.switch()
        main.switch(executionAsyncId() === id && store.getStore() === i)
        return executionAsyncId() === id && store.getStore() === i
      }))))
      for (const g of parked) g.switch()
      process.on('uncaughtException', (error) => {
        console.log(error.message, parked.map((g) => g.switch()).join(' '))
        setImmediate(() => console.log(parked.map((g) => g.switch()).join(' ')))
      })
      setTimeout(() => nested(3, () => { throw new Error('uncaught') }), 1)
    `)
    t.is(stderr, '')
    t.is(stdout, 'uncaught true true true true true\ntrue true true true true\n')
    t.is(code, 0)
  })

  test(`an uncaught exception that came from a greenlet${how}`, async (t) => {
    const { code, stdout, stderr } = await program(`
      const other = new Greenlet(() => nested(3, () => { main.switch(); return executionAsyncId() > 0 }))
      other.switch()
      process.on('uncaughtException', (error) => {
        console.log(error.message, other.switch())
      })
      setTimeout(() => nested(2, () => new Greenlet(() => nested(3, () => { throw new Error('from g') })).switch()), 1)
      setTimeout(() => console.log('later', executionAsyncId() > 0), 5)
    `)
    t.is(stderr, '')
    t.is(stdout, 'from g true\nlater true\n')
    t.is(code, 0)
  })

  test(`an exception that Node.js treats as uncaught inside of a greenlet${how}`, async (t) => {
    const { code, stdout, stderr } = await program(`
      // Native code calls this after a callback of its own has thrown. It clears the stack of async ids.
      const failInCallback = () => process._fatalException(new Error('in callback'))
      process.on('uncaughtException', (error) => console.log(error.message))
      const g = spawn(() => {
        nested(2, () => { failInCallback(); sleep(1) })
        sleep(1)
        nested(2, () => sleep(1))
        return 'done'
      })
      const bystander = spawn(() => nested(3, () => { for (let i = 0; i < 10; i++) sleep(1); return executionAsyncId() > 0 }))
      console.log(await g, await bystander)
      setTimeout(() => console.log('later', executionAsyncId() > 0), 1)
    `)
    t.is(stderr, '')
    t.is(stdout, 'in callback\ndone true\nlater true\n')
    t.is(code, 0)
  })

  test(`process.exit() in a greenlet that is in scopes${how}`, async (t) => {
    const { code, stdout, stderr } = await program(`
      const parked = new Greenlet(() => nested(3, () => main.switch()))
      parked.switch()
      process.on('exit', (status) => console.log('exit', status, executionAsyncId() > 0))
      setTimeout(() => nested(2, () => new Greenlet(() => nested(3, () => process.exit(3))).switch()), 1)
    `)
    t.is(stderr, '')
    t.is(stdout, 'exit 3 true\n')
    t.is(code, 3)
  })

  test(`the end of the program while greenlets are in scopes${how}`, async (t) => {
    const { code, stdout, stderr } = await program(`
      for (let i = 0; i < 5; i++) new Greenlet(() => store.run(i, () => nested(i, () => main.switch()))).switch()
      setTimeout(() => console.log('end'), 1)
    `)
    t.is(stderr, '')
    t.is(stdout, 'end\n')
    t.is(code, 0)
  })

  test(`a time limit ends greenlets that are in scopes${how}`, async (t) => {
    const { code, stdout, stderr } = await program(`
      const { runInThisContext, Script } = await import('node:vm')
      const other = new Greenlet(() => nested(3, () => { main.switch(); return store.getStore() }))
      other.switch()
      globalThis.spin = () => new Greenlet(() => store.run('spin', () => nested(3, () => { for (;;); }))).switch()
      setTimeout(() => {
        const id = executionAsyncId()
        try {
          runInThisContext('spin()', { timeout: 20 })
        } catch (error) {
          console.log(error.code, executionAsyncId() === id, store.getStore())
        }
        console.log(other.switch())
        nested(2, () => console.log(new Greenlet(() => nested(2, () => 'fine')).switch()))
      }, 1)
    `)
    t.is(stderr, '')
    t.is(stdout, 'ERR_SCRIPT_EXECUTION_TIMEOUT true undefined\nundefined\nfine\n')
    t.is(code, 0)
  })
}

test('a request of V8 to end the program is not lost while a hook runs for a switch', async (t) => {
  const { code, stdout, stderr } = await runProgram(
    `const { runInThisContext } = await import('node:vm')
    let endless
    const loop = (what) => { if (endless === what) for (;;); }
    createHook({ before() { loop('before') }, after() { loop('after') } }).enable()
    const limited = (what, act) => {
      globalThis.act = () => { endless = what; act() }
      try { runInThisContext('act(); endless = undefined; for (;;);', { timeout: 100 }) } catch (error) { return (endless ?? 'late') + ' ' + error.code }
    }
    // A greenlet that has not begun to run may still start.
    const made = () => new Greenlet(() => { main.switch(); nested(2, () => main.switch()); return store.getStore() })
    const other = store.run('other', made)
    other.switch()
    const print = (g, ended) => { endless = undefined; console.log(ended, g.dead, executionAsyncId(), executionAsyncResource() === resource) }
    const resource = executionAsyncResource()
    const starting = made()
    print(starting, limited('before', () => starting.switch()))
    const leaving = made()
    print(leaving, limited('after', () => leaving.switch()))
    print(leaving, limited('after', () => leaving.switch()))
    print(leaving, limited('before', () => leaving.switch()))
    const ending = new Greenlet(() => main.switch())
    ending.switch()
    print(ending, limited('after', () => ending.switch()))
    other.switch()
    starting.switch()
    console.log(other.switch(), starting.gr_stack.length > 0)`,
    { before },
  )
  const ended = (hook: string, dead: boolean): string => `${hook} ERR_SCRIPT_EXECUTION_TIMEOUT ${dead} 0 true\n`
  const all = [
    ended('before', false),
    ended('after', false),
    ended('after', false),
    ended('before', true),
    ended('after', true),
  ]
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: `${all.join('')}other true\n`, stderr: '' })
})

test('each Worker has its own contexts, and may be terminated in any of them', async (t) => {
  const work = new URL('../helpers/context-worker.mjs', import.meta.url)
  const run = (hooks: boolean, spin: boolean): Promise<boolean> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(work, { workerData: { hooks, spin } })
      worker.on('error', reject)
      worker.once('message', async (right: boolean) => {
        if (spin) await worker.terminate()
        else await once(worker, 'exit')
        resolve(right)
      })
    })
  const store = new AsyncLocalStorage()
  const all = [run(false, false), run(true, false), run(false, true), run(true, true)]
  t.deepEqual(await store.run('main', () => Promise.all(all)), [true, true, true, true])
  t.is(store.getStore(), undefined)
})
