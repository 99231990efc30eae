/**
 * Prints what dumps cost: the JSON of many suspended greenlets with its memory, `greenlets ps` of 10,000, and recording where
 * greenlets are made. CPU time, because other programs on the machine change it less. Run it by
 * `node --expose-gc --import=@oxc-node/core/register bench/dumps.ts [number of greenlets]` after `make build`.
 */

import { spawn as spawnProcess, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { dump, recordOrigins } from '../js/dump.ts'
import { Greenlet, spawn, wait } from '../js/index.ts'

declare const gc: () => void

const count = Number(process.argv[2] ?? 100_000)
const never = new Promise<never>(() => {})

/** The CPU time of `act`, in milliseconds. */
function cpuOf(act: () => void): number {
  const before = process.cpuUsage()
  act()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

/** The middle one of many. */
function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!
}

/** What each new greenlet costs more while origins are recorded, in nanoseconds: with and without in turns. */
function recording(first: number, number: number): number {
  const times: Record<'off' | 'on', number[]> = { off: [], on: [] }
  for (let round = 0; round < 40; round++) {
    for (const kind of ['off', 'on'] as const) {
      recordOrigins(kind === 'on')
      const made = Array.from({ length: first }, () => new Greenlet(() => {}))
      const ms = cpuOf(() => {
        for (let i = 0; i < number; i++) made.push(new Greenlet(() => {}))
      })
      times[kind].push((ms * 1e6) / number)
      for (const greenlet of made) greenlet.switch()
    }
  }
  recordOrigins(false)
  return median(times.on) - median(times.off)
}

async function lookAt(): Promise<string> {
  const source = `
    import { spawn, wait } from './dist/index.js'
    const never = new Promise(() => {})
    for (let i = 0; i < 10_000; i++) spawn(function parked() { [1].forEach(() => wait(never)) })
    setTimeout(() => console.log('ready'), 100)
    setInterval(() => {}, 1e6)`
  const program = spawnProcess(process.execPath, ['--inspect-port=0', '--input-type=module', '--eval', source], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [first] = (await Promise.race([once(program.stdout, 'data'), once(program, 'exit')])) as unknown[]
  if (!(first instanceof Buffer)) throw new Error('the program that is looked at does not start; run make build')
  const walls: number[] = []
  for (let i = 0; i < 10; i++) {
    const start = performance.now()
    const { status } = spawnSync(process.execPath, ['dist/cli/greenlets.js', 'ps', String(program.pid)])
    if (status !== 0) throw new Error(`greenlets ps has ended with ${status}`)
    walls.push(performance.now() - start)
  }
  program.kill()
  return `${Math.round(Math.min(...walls))} to ${Math.round(Math.max(...walls))} ms`
}

const sampled = recording(1000, 20_000)
const whole = recording(0, 900)
console.log(`recording, after the first 1000: ${Math.round(sampled)} ns more for each new greenlet`)
console.log(`recording, the first 1000: ${Math.round(whole)} ns more for each new greenlet`)
console.log(`greenlets ps of 10,000: ${await lookAt()}`)

for (let i = 0; i < count; i++) spawn.with({ name: `job ${i}` }, () => [1].forEach(() => wait(never)))
await new Promise((resolve) => setTimeout(resolve, 100))
const heap = (): number => process.memoryUsage().heapUsed
for (let i = 0; i < 3; i++) {
  gc()
  const before = heap()
  const start = performance.now()
  let text = ''
  const ms = cpuOf(() => (text = dump({ limit: Infinity, format: 'json' })))
  const wall = performance.now() - start
  const grown = heap() - before
  console.log(
    `JSON of ${count}: ${Math.round(ms)} ms of CPU time, ${Math.round(wall)} ms in all, ${text.length} bytes, heap + ${Math.round(grown / 1e6)} MB`,
  )
}
process.exit()
