// Several Workers at the same time, each with its own greenlets, half of them suspended at its end. Then Workers with thousands
// of greenlets that switch, wait or are all suspended, ended in every way. No memory of their stacks may be left.

import { readFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { check, SLOW } from './lib/load.mjs'

const program = `
import { greenlets, check, collect, litter } from ${JSON.stringify(new URL('lib/load.mjs', import.meta.url).href)}
const { Greenlet } = greenlets
const body = (x) => { const mine = { x }; Greenlet.main.switch(x.i); return mine.x }
const all = Array.from({ length: 50 }, () => new Greenlet(body))
for (const [i, greenlet] of all.entries()) check(greenlet.switch({ i }) === i, 'a switch in a worker')
litter(2000)
collect(false)
for (const greenlet of all.slice(25)) check(greenlet.switch().i >= 25, 'a result in a worker')
`
const url = new URL(`data:text/javascript,${encodeURIComponent(program)}`)
const run = () => new Promise((resolve, reject) => new Worker(url).once('exit', resolve).once('error', reject))
for (let round = 0; round < (SLOW ? 1 : 4); round++) {
  const ends = await Promise.all([run(), run(), run()])
  for (const status of ends) check(status === 0, `a worker ended with ${status}`)
}

// In the locker lane and on AArch64 each greenlet has one of 1,024 slots until it ends; ENDS start 100 more.
const COUNT = process.env.GREENLETS_LANE === 'locker' || process.arch === 'arm64' ? 900 : SLOW ? 1100 : 2000
const crowd = (then) => `
import { parentPort } from 'node:worker_threads'
const { Greenlet, sleep, spawn } = (await import(${JSON.stringify(new URL('lib/load.mjs', import.meta.url).href)})).greenlets
const { main } = Greenlet
const dive = (depth) => (depth === 0 ? main.switch() : [depth].map(() => dive(depth - 1)))
const all = Array.from({ length: ${COUNT} }, (_, i) => new Greenlet(() => {
  try { for (;;) dive(i % 4) } finally { parentPort.postMessage('finally') }
}))
// Keeps them reachable to the end. A collection would end unreachable ones.
globalThis.held = all
for (const g of all) g.switch()
parentPort.postMessage('ready')
${then}`
/** The last code of each Worker, and its exit code; null if it must be terminated. */
const ENDS = [
  ['', 0],
  ['all[7].throw(new Error("thrown"))', 1],
  ['process.exit(5)', 5],
  ['new Greenlet(() => [1].map(() => process.exit(6))).switch()', 6],
  ['for (;;) for (const g of all) g.switch()', null],
  ['setInterval(() => {}, 1000)', null],
  ['new Greenlet(() => { for (;;); }).switch()', null],
  ['for (let i = 0; i < 100; i++) spawn(() => { for (;;) sleep(1) })', null],
]

let most = 0
/** `within`: the most milliseconds from its start to its termination. */
async function end([then, expected], within) {
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(crowd(then))}`))
  const messages = []
  worker.on('message', (message) => {
    messages.push(message)
    most = Math.max(most, reserved())
    if (expected === null) setTimeout(() => worker.terminate(), Math.random() * within)
  })
  let thrown
  worker.on('error', (error) => (thrown = error))
  const status = await new Promise((resolve) => worker.once('exit', resolve))
  const asExpected = status === (expected ?? 1) && (thrown === undefined || thrown.message === 'thrown')
  check(asExpected, `a worker with a crowd ended with ${status}: ${then} ${thrown}`)
  // The greenlet that the error is thrown into unwinds. The others do not.
  check(messages.length <= (thrown === undefined ? 1 : 2), 'a finally block ran')
}

/** Bytes of the large mappings: the slots of a thread are 1 GiB. */
function reserved() {
  let sum = 0
  for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
    const [from, to] = line.split(/[- ]/).map((address) => Number.parseInt(address, 16))
    if (to - from >= 2 ** 29) sum += to - from
  }
  return sum
}

await end(ENDS[0], 0)
const before = reserved()
for (const within of [20, 400]) {
  for (let i = 0; i < ENDS.length; i += 4) await Promise.all(ENDS.slice(i, i + 4).map((one) => end(one, within)))
}
// With few slots their mapping cannot be told from others. With memory that faults it is in pieces.
const visible = process.env.GREENLETS_SLOTS === undefined && process.env.GREENLETS_POISON !== 'protect'
check(most > before || !visible, 'stacks are seen')
check(reserved() === before, `stacks were leaked: ${reserved() - before} bytes`)
console.log('ok')
