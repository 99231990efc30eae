// A little of everything, for platforms on which the whole suite does not run: greenlets that are parked over collections, read (their
// variables, too), thrown into and killed, waits, overflows, the end with some of them parked, and the same in Workers.

import { AsyncLocalStorage } from 'node:async_hooks'
import { isMainThread, Worker } from 'node:worker_threads'
import { check, collect, greenlets, litter } from '../torture/lib/load.mjs'

const { locals } = await import('../../dist/inspect/index.js')
const { configure, Greenlet, GreenletExit, runtimeInfo, sleep, spawn, StaleFrameError, wait } = greenlets
const { main } = Greenlet
const COUNT = 120
const DEPTHS = 24

const { supported, reason } = runtimeInfo()
check(supported, `greenlets are supported here: ${reason}`)
parkOverCollections()
readAndKill()
readVariables()
overflow()
await waitInTurns()
stackSizes()
endWithParkedOnes()
if (isMainThread) await Promise.all([work('end'), work('terminate')])
// The Workers that end by themselves print it, too.
if (isMainThread) console.log('ok')

/** Parks below `depth` calls, some of them through C++ of V8. */
function descend(depth, tag) {
  const own = { tag, depth }
  const deeper = () => descend(depth - 1, tag)
  let result
  if (depth === 0) result = main.switch(own)
  else if (depth % 4 === 0) [result] = [0].map(deeper)
  else if (depth % 4 === 1) JSON.stringify({ toJSON: () => ((result = deeper()), 1) })
  else if (depth % 4 === 2) result = new Proxy({}, { get: deeper }).anything
  else result = deeper()
  check(own.tag === tag && own.depth === depth, `an object of ${tag} at depth ${depth}`)
  return result
}

function parkOverCollections() {
  const body = function body(number) {
    let thrown = 0
    for (let round = 0; ; round++) {
      try {
        if (descend((number + round) % DEPTHS, `g${number}r${round}`) === 'end') return { number, thrown }
      } catch (error) {
        check(error === body, 'the error that was thrown in')
        thrown++
      }
    }
  }
  const all = Array.from({ length: COUNT }, () => new Greenlet(body))
  for (const [number, greenlet] of all.entries())
    check(greenlet.switch(number).tag === `g${number}r0`, 'what a switch brings')
  for (let round = 0; round < 6; round++) {
    litter(5000)
    collect(round % 2 === 0)
    for (const greenlet of all) greenlet.switch('go')
    for (const greenlet of all.slice(0, COUNT / 2)) greenlet.throw(body)
  }
  collect()
  for (const [number, greenlet] of all.entries()) {
    const result = greenlet.switch('end')
    check(result.number === number && result.thrown === (number < COUNT / 2 ? 6 : 0), 'what a greenlet returns')
    check(greenlet.dead, 'a greenlet that has returned')
  }
}

function readAndKill() {
  let cleaned = 0
  const outer = function outer() {
    try {
      return inner()
    } finally {
      cleaned++
    }
  }
  const inner = function inner() {
    return main.switch('parked')
  }
  const greenlet = new Greenlet(outer)
  check(greenlet.switch() === 'parked', 'a parked greenlet')
  const names = greenlet.gr_stack.map((frame) => frame.functionName)
  check(names.join() === 'inner,outer', `the stack of a parked greenlet: ${names}`)
  const stale = greenlet.gr_frame
  check(greenlet.switch('on') === 'on' && cleaned === 1, 'a finally block')
  let error
  try {
    void stale.functionName
  } catch (thrown) {
    error = thrown
  }
  check(error instanceof StaleFrameError, `a frame of a stack that has gone on: ${error}`)

  const killed = new Greenlet(outer)
  killed.switch()
  const exit = killed.throw()
  check(exit instanceof GreenletExit && killed.dead && cleaned === 2, 'a greenlet that was killed')
}

function readVariables() {
  const greenlet = new Greenlet((left) => {
    const right = { of: 'an object' }
    return main.switch(left) + right.of
  })
  greenlet.switch(7)
  const [{ kind, variables }] = locals(greenlet.gr_frame).scopes
  const found = Object.entries(variables).map(([name, { text }]) => `${name} = ${text}`)
  check(
    `${kind}: ${found}` === "local: left = 7,right = { of: 'an object' }",
    `the variables of a frame: ${kind}: ${found}`,
  )
  check(greenlet.switch('still ') === 'still an object', 'a greenlet that was looked at')
}

function overflow() {
  const greenlet = new Greenlet(() => {
    const again = () => again() + 1
    try {
      again()
    } catch (error) {
      main.switch(error)
    }
    return 'done'
  })
  check(greenlet.switch() instanceof RangeError && greenlet.switch() === 'done', 'an overflow')

  // Main's stack, far deeper than at the first switch.
  const deep = (depth) => (depth === 0 ? new Greenlet((x) => x + 1).switch(1) : deep(depth - 1))
  check(deep(4000) === 2, 'a switch from deep on main')
}

async function waitInTurns() {
  const store = new AsyncLocalStorage()
  const spawned = Array.from({ length: 20 }, (_, i) =>
    store.run(i, () =>
      spawn(() => {
        sleep(i % 3)
        const got = wait(new Promise((resolve) => setTimeout(resolve, i % 5, i)))
        check(got === i && store.getStore() === i, 'what a wait brings')
        return got
      }),
    ),
  )
  for (const [i, greenlet] of spawned.entries()) check((await greenlet) === i, 'a spawned greenlet')
}

/** On main's stack as the system gives it, 2 MiB have space. */
function stackSizes() {
  if (!isMainThread) return
  configure({ stackSize: 2 << 20 })
  const depth = () => {
    let calls = 0
    const again = () => {
      calls++
      again()
    }
    try {
      again()
    } catch {}
    return calls
  }
  const onMain = depth()
  const inGreenlet = new Greenlet(depth).switch()
  check(inGreenlet > onMain * 1.5, `a stack of 2 MiB: ${inGreenlet} calls, ${onMain} on main`)
}

function endWithParkedOnes() {
  globalThis.held = Array.from(
    { length: 10 },
    () => new Greenlet(() => JSON.stringify({ toJSON: () => main.switch() })),
  )
  for (const greenlet of globalThis.held) greenlet.switch()
}

/** A Worker that runs this same file, and either ends by itself or is terminated with parked greenlets. */
async function work(end) {
  const file = new URL(import.meta.url)
  const then = end === 'end' ? '' : 'setInterval(() => {}, 1000)'
  const program = `
    await import(${JSON.stringify(file.href)})
    const { parentPort } = await import('node:worker_threads')
    parentPort.postMessage('ready')
    ${then}`
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(program)}`))
  let ready = false
  worker.on('message', () => {
    ready = true
    if (end === 'terminate') void worker.terminate()
  })
  const status = await new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject))
  check(ready && status === (end === 'end' ? 0 : 1), `a Worker ended with ${status}`)
}
