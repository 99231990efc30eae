// Requests interrupts of every kind while greenlets switch as fast as they can and most stacks are never resumed. An interrupt
// that stayed with a suspended stack would be late, or lost. `hammer.ts [seconds for each kind]` prints its results as JSON.

import { Session } from 'node:inspector'
import { once } from 'node:events'
import * as vm from 'node:vm'
import { Worker } from 'node:worker_threads'
import { configure, Greenlet } from '../../js/index.ts'
import { loadAddon } from '../helpers/addon.ts'
import { LANE } from '../helpers/lane.ts'

const MS = Number(process.argv[2] ?? 1) * 1000
/** The number of Workers. Starting one takes about 50 ms. */
const WORKERS = Math.max(4, Math.round(MS / 200))
const { main } = Greenlet
const addon = loadAddon()

// With few slots most stacks are spilled, where stacks are spilled at all.
if (LANE === 'fast') configure({ slots: 8 })
const park = (depth: number): unknown => (depth === 0 ? main.switch() : [depth].map(() => park(depth - 1)))

/** Greenlets that switch to each other, and others that stay suspended and are then killed. */
function* switching(): Generator<undefined, void> {
  const partner = new Greenlet(() => {
    for (;;) main.switch()
  })
  for (;;) {
    const left = Array.from({ length: 40 }, (_, i) => {
      const g = new Greenlet(park)
      g.switch(i % 5)
      for (let n = 0; n < 20; n++) partner.switch()
      return g
    })
    yield undefined
    for (const g of left) g.kill()
  }
}

function forAWhile(ms: number): void {
  const work = switching()
  for (const until = Date.now() + ms; Date.now() < until;) work.next()
}

function native(): object {
  addon.hammer()
  forAWhile(MS)
  addon.hammered(true)
  // Only main runs here: the last interrupt must be served by main.
  for (const late = Date.now() + 5000; addon.hammered(true)[3] === 1 && Date.now() < late;);
  const [requested, served, slowest] = addon.hammered(true)
  return { requested, lost: requested - served, slowestMs: slowest / 1000 }
}

function profiled(): object {
  const session = new Session()
  session.connect()
  session.post('Profiler.enable')
  session.post('Profiler.setSamplingInterval', { interval: 100 })
  session.post('Profiler.start')
  const memory: ArrayBuffer[] = []
  const work = switching()
  for (const until = Date.now() + MS; Date.now() < until; work.next()) {
    // Memory outside of V8's heap makes V8 request collections.
    memory[memory.length % 50] = new ArrayBuffer(1e6)
  }
  let samples = 0
  session.post('Profiler.stop', (_, { profile }) => (samples = profile.samples!.length))
  session.disconnect()
  return { samples }
}

const begun = new Int32Array(new SharedArrayBuffer(4))
function begins(): void {
  Atomics.store(begun, 0, 1)
  Atomics.notify(begun, 0)
}

/** Runs scripts that a time limit or a signal ends. They run on main and switch. */
function limited(options: vm.RunningScriptOptions): object {
  let [ended, slowest] = [0, 0]
  const codes = new Set<string>()
  for (const until = Date.now() + MS; Date.now() < until; ended++) {
    const g = new Greenlet(() => {
      for (;;) main.switch()
    })
    const other = new Greenlet(() => main.switch())
    other.switch()
    const begin = performance.now()
    try {
      vm.runInNewContext('begins(); for (;;) g.switch()', { g, begins }, options)
    } catch (error) {
      codes.add((error as NodeJS.ErrnoException).code ?? String(error))
    }
    slowest = Math.max(slowest, performance.now() - begin)
    // The greenlet that ran at that moment has ended. The others have not.
    if (Greenlet.current !== main || other.switch(7) !== 7) throw new Error('the others are not well')
    g.kill()
  }
  return { ended, codes: [...codes], slowestMs: slowest }
}

/** Sends SIGINT from a thread, soon after a script has begun. Outside of a script SIGINT could end the process for a moment. */
async function signalled(): Promise<object> {
  Atomics.store(begun, 0, 0)
  const sender = new Worker(
    `const { parentPort, workerData: begun } = require('node:worker_threads')
     const never = new Int32Array(new SharedArrayBuffer(4))
     parentPort.postMessage('ready')
     for (;;) {
       Atomics.wait(begun, 0, 0)
       Atomics.store(begun, 0, 0)
       Atomics.wait(never, 0, 0, Math.random() * 20)
       process.kill(process.pid, 'SIGINT')
     }`,
    { eval: true, workerData: begun },
  )
  await once(sender, 'message')
  const seen = limited({ breakOnSigint: true })
  await sender.terminate()
  return seen
}

/** Terminates Workers at random moments while their greenlets switch to each other. */
async function terminated(): Promise<object> {
  let slowest = 0
  for (let i = 0; i < WORKERS; i++) {
    const file = new URL('../helpers/worker.mjs', import.meta.url)
    const worker = new Worker(file, { workerData: { parked: 20, rounds: 10, spin: true } })
    await once(worker, 'message')
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 20))
    const begin = performance.now()
    if ((await worker.terminate()) !== 1) throw new Error('it ended by itself')
    slowest = Math.max(slowest, performance.now() - begin)
  }
  return { terminated: WORKERS, slowestMs: slowest }
}

console.log(
  JSON.stringify({
    native: native(),
    profiled: profiled(),
    timeouts: limited({ timeout: 5 }),
    signals: await signalled(),
    workers: await terminated(),
  }),
)
process.exit()
