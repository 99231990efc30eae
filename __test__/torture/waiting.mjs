// The event loop and greenlets: waits, timers, async context that V8 keeps, wasm, and the parser of fetch.

import { AsyncLocalStorage } from 'node:async_hooks'
import { check, collect, greenlets, litter, SLOW } from './lib/load.mjs'

const { Greenlet, sleep, spawn, wait } = greenlets
const COUNT = SLOW ? 20 : 100

// Interleaved waits at some depth, each with a store of its own.
const store = new AsyncLocalStorage()
const work = (i) =>
  store.run({ i }, () => {
    const results = [1, 2, 3].map((n) => {
      const mine = { i, n }
      const got = wait(new Promise((resolve) => setTimeout(resolve, (i * 7 + n) % 10, mine)))
      check(got === mine && store.getStore().i === i, 'what a wait brought')
      litter(100)
      return got.n
    })
    sleep(i % 5)
    return results.reduce((sum, n) => sum + n, i)
  })
const spawned = Array.from({ length: COUNT }, (_, i) => spawn(work, i))
const ticking = setInterval(() => collect(false), 2)
for (const [i, greenlet] of spawned.entries()) check((await greenlet) === 6 + i, 'a spawned greenlet')
clearInterval(ticking)

// Without wasm (--jitless) there is no fetch, and Node 22 cannot import its http module.
if (typeof WebAssembly === 'object') {
  await serve()
  parkUnderWasm()
}

/** Runs a server and uses fetch, which has a wasm parser, while greenlets are parked. */
async function serve() {
  const { createServer } = await import('node:http')
  const server = createServer((request, response) => {
    new Greenlet(() => {
      sleep(2)
      response.end(request.url)
    }).switch()
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const origin = `http://127.0.0.1:${server.address().port}`
  const texts = Array.from({ length: SLOW ? 5 : 30 }, (_, i) => spawn(() => wait(wait(fetch(`${origin}/${i}`)).text())))
  for (const [i, greenlet] of texts.entries()) check((await greenlet) === `/${i}`, 'an answer')
  server.closeAllConnections()
  server.close()
}

/** (import "m" "f" (func)) (func (export "g") (result i32) call 0 i32.const 42) */
function parkUnderWasm() {
  const code = new Uint8Array([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 2, 96, 0, 0, 96, 0, 1, 127, 2, 7, 1, 1, 109, 1, 102, 0, 0, 3, 2, 1, 1, 7, 5, 1,
    1, 103, 0, 1, 10, 8, 1, 6, 0, 16, 0, 65, 42, 11,
  ])
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(code), { m: { f: () => Greenlet.main.switch() } })
  const under = Array.from({ length: 20 }, () => new Greenlet(() => exports.g()))
  for (const greenlet of under) greenlet.switch()
  litter(SLOW ? 1000 : 20_000)
  collect()
  for (const greenlet of under) check(greenlet.switch() === 42, 'a wasm frame')
}
console.log('ok')
