/**
 * Runs on each Node: measures the processor time of requests, with what they cost later in collections, for the number of seconds
 * in its argument, and prints nanoseconds as JSON. A second argument measures only the rows of which the names contain it.
 */

import { type Figure, summary } from './rig.ts'
import { requestRows } from './rows/requests.ts'

/** Milliseconds. Long enough for several collections. */
const BATCH_MS = 60
const ROUNDS = 5

const end = performance.now() + Number(process.argv[2]) * 1000
const wanted = process.argv[3] ?? ''
const columns = requestRows()
  .filter(({ name }) => name.includes(wanted))
  .map((row) => ({ row, count: 5000, times: [] as number[] }))
// Connecting the thread starts a collection. If it ended among the first requests, V8 would decide by those few where it makes the
// objects of all later ones; see docs/internals/performance.md.
globalThis.gc!()
// Twice: rows that share functions with earlier ones may have undone their compiled code.
for (let i = 0; i < 2; i++) {
  for (const column of columns) {
    for (let spent = 0; spent < BATCH_MS;) spent += (await cpu(column.row.run, column.count)) / 1000
    column.count = Math.ceil((BATCH_MS * 1000 * column.count) / (await cpu(column.row.run, column.count)))
  }
}
for (let round = 0; round < ROUNDS || performance.now() < end; round++) {
  for (const { row, count, times } of columns) times.push(((await cpu(row.run, count)) * 1000) / count)
}
const figures: Record<string, Figure> = {}
for (const { row, times } of columns) figures[row.name] = summary(times)
console.log(JSON.stringify(figures))

/** Returns the microseconds that this process' threads take: V8 collects garbage on several. */
async function cpu(run: (count: number) => number | PromiseLike<number>, count: number): Promise<number> {
  const before = process.cpuUsage()
  const done = await run(count)
  const { user, system } = process.cpuUsage(before)
  if (done !== count) throw new Error(`${done} requests were answered instead of ${count}`)
  return user + system
}
