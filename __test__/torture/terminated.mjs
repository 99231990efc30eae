// worker.terminate() and process.exit() at any moment: while greenlets switch, loop, are parked, are captured, or V8 is learnt.
// It must not hang, crash, or run a finally block. TERMINATE_SECONDS=n terminates at random moments, with or without async
// hooks.

import { Worker } from 'node:worker_threads'
import { check, SLOW } from './lib/load.mjs'

const PATIENCE_MS = 60_000
const { TERMINATE_SECONDS } = process.env
const load = JSON.stringify(new URL('lib/load.mjs', import.meta.url).href)
const session = JSON.stringify(new URL('../helpers/session.mjs', import.meta.url).href)
const head = `
import { parentPort } from 'node:worker_threads'
const { Greenlet, sleep, spawn, wait } = (await import(${load})).greenlets
const ready = () => parentPort.postMessage('ready')
const main = Greenlet.main
`
const inSession = `const { inSession } = await import(${session})`
const situations = {
  'two switch to each other': `
    const other = new Greenlet(() => { for (;;) main.switch() })
    other.switch()
    ready()
    for (;;) other.switch()`,
  'one loops': `ready(); new Greenlet(() => { for (;;); }).switch()`,
  'one loops and catches': `
    ready()
    for (;;) { try { new Greenlet(() => { for (;;) { try { for (;;); } catch {} } }).switch() } catch {} }`,
  'one loops, twenty deep': `
    const nest = (depth) => { if (depth === 0) for (;;); new Greenlet(nest).switch(depth - 1) }
    ready()
    nest(20)`,
  'many are parked': `
    for (let i = 0; i < 500; i++) new Greenlet(() => { try { main.switch() } finally { parentPort.postMessage('finally') } }).switch()
    ready()
    setInterval(() => {}, 1000)`,
  'many are in JSON.stringify': `
    for (let i = 0; i < 50; i++) new Greenlet(() => JSON.stringify({ toJSON: () => main.switch() })).switch()
    ready()
    for (;;) [].concat(Array(1000).fill({}))`,
  'they come and go under async hooks': `
    const { AsyncResource, createHook } = await import('node:async_hooks')
    createHook({ before() {}, after() {} }).enable()
    ready()
    for (;;) {
      const g = new Greenlet(() => new AsyncResource('R').runInAsyncScope(() => { for (;;) main.switch() }))
      g.switch()
      g.switch()
      g.kill()
    }`,
  'many are parked in sessions': `${inSession}
    let parked = 0
    for (let i = 0; i < 20; i++) inSession(Greenlet, () => { if (++parked === 20) ready(); try { main.switch() } finally { parentPort.postMessage('finally') } })
    setInterval(() => {}, 1000)`,
  'many wait': `
    for (let i = 0; i < 50; i++) spawn(() => { try { sleep(1e6) } finally { parentPort.postMessage('finally') } })
    setTimeout(ready, 10)
    setInterval(() => {}, 1000)`,
  'they take turns in stores and scopes': `
    const { AsyncLocalStorage, AsyncResource } = await import('node:async_hooks')
    const store = new AsyncLocalStorage()
    const nested = (depth, fn) => depth === 0 ? fn() : new AsyncResource('R').runInAsyncScope(() => nested(depth - 1, fn))
    const make = (i) => new Greenlet(() => store.run(i, () => nested(i % 4, () => { for (let n = 0; n < i; n++) main.switch() })))
    ready()
    for (;;) {
      const all = Array.from({ length: 20 }, (_, i) => make(i))
      for (let n = 0; n < 15; n++) for (const g of all) g.switch()
      for (const g of all) if (!g.dead) g.kill()
    }`,
  'they sleep and wait': `
    ready()
    for (let i = 0; i < 50; i++) spawn(() => { for (;;) { sleep(i % 3); wait(Promise.resolve(i)) } })`,
  'scripts with a time limit': `
    const { runInNewContext } = await import('node:vm')
    ready()
    for (;;) {
      const g = new Greenlet(() => { for (;;) main.switch() })
      try { runInNewContext('for (;;) g.switch()', { g }, { timeout: 2 }) } catch {}
      const other = new Greenlet(() => { try { return runInNewContext('for (;;);', {}, { timeout: 2 }) } catch {} })
      other.switch()
    }`,
  'one is captured': `
    const parked = new Greenlet(() => { for (;;) main.switch() })
    parked.switch()
    // V8 prints errors if it is terminated while it makes a context with gc() in it, as the first capture does.
    String(parked.gr_stack)
    ready()
    for (;;) { String(parked.gr_stack); parked.switch() }`,
}
const exits = {
  'exit in a greenlet': `new Greenlet(() => process.exit(3)).switch()`,
  'exit in a greenlet among parked ones': `
    for (let i = 0; i < 50; i++) new Greenlet(() => main.switch()).switch()
    new Greenlet(() => [1].map(() => process.exit(3))).switch()`,
  'exit in a greenlet of one in a session': `${inSession}
    inSession(Greenlet, () => new Greenlet(() => process.exit(3)).switch())`,
}

async function run(what, program, { terminateAfter }) {
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(head + program)}`))
  let messages = []
  worker.on('message', (message) => messages.push(message))
  const failed = new Promise((_, reject) => worker.once('error', reject))
  const exited = new Promise((resolve) => worker.once('exit', resolve))
  const late = new Promise((_, reject) => setTimeout(reject, PATIENCE_MS, new Error(`${what}: it hangs`)).unref())
  if (terminateAfter !== undefined) {
    await Promise.race([new Promise((resolve) => worker.once('message', resolve)), failed, late])
    await new Promise((resolve) => setTimeout(resolve, terminateAfter))
    messages = []
    void worker.terminate()
  }
  const code = await Promise.race([exited, failed, late])
  check(messages.length === 0, `${what}: a finally block ran`)
  return code
}

const hooks = `
await import('node:async_hooks').then(({ createHook }) => createHook({ init() {}, before() {}, after() {} }).enable());`
if (TERMINATE_SECONDS === undefined) {
  const moments = SLOW ? [10] : [0, 1, 5, 20]
  for (const [what, program] of Object.entries(situations)) {
    for (const terminateAfter of moments) {
      check((await run(what, program, { terminateAfter })) === 1, `${what}: ended by terminate()`)
    }
  }
  for (const [what, program] of Object.entries(exits))
    check((await run(what, program, {})) === 3, `${what}: the exit code`)
} else {
  const all = Object.entries(situations)
  const any = () => {
    const [what, program] = all[Math.trunc(Math.random() * all.length)]
    return Math.random() < 0.5 ? [what, program] : [`${what}, with hooks`, hooks + program]
  }
  let count = 0
  for (const end = performance.now() + TERMINATE_SECONDS * 1000; performance.now() < end; count += 2) {
    const ends = [any(), any()].map(async ([what, program]) => {
      const status = await run(what, program, { terminateAfter: Math.random() ** 2 * 50 })
      check(status === 1, `${what}: ended by terminate(), and not with ${status}`)
    })
    await Promise.all(ends)
  }
  console.log(`${count} ended`)
}
console.log('ok')
