/**
 * Measures what many suspended greenlets cost, in its own process: memory, collections, and switches among them. Arguments: the
 * number, and the kind: `greenlets`; `visited`, where GREENLETS_SCAN=all lets each collection visit them; `objects`, plain ones that
 * take as much of V8's heap as so many greenlets; `async` functions. Prints the rows as JSON. Needs --expose-gc.
 */

import type { Greenlet } from '../js/index.ts'
import { VISITED } from './comparisons.ts'
import { type Figure, measure, type Row, summary } from './rig.ts'
import { echo, park, roundTrips } from './rows/parked.ts'

declare const gc: (options?: { type: 'minor' }) => void

const [count, kind] = [Number(process.argv[2]), process.argv[3]]
const DEPTH = 3
/** The number of collections after which all objects are old and every stack is quiet. */
const UNTIL_QUIET = 8

const figures: Record<string, Figure> = {}
const crowd: unknown[] = Array.from({ length: count })
const never = new Promise<never>(() => {})

const parkGreenlet = (): Greenlet => park(DEPTH, echo)

async function parkAsync(depth: number, promise: Promise<void>): Promise<void> {
  await (depth === 1 ? promise : parkAsync(depth - 1, promise))
}

/** How many bytes of V8's heap a suspended greenlet takes. */
function heapOfEach(): number {
  const some: Greenlet[] = Array.from({ length: 2000 })
  gc()
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < some.length; i++) some[i] = parkGreenlet()
  gc()
  const bytes = (process.memoryUsage().heapUsed - before) / some.length
  for (const greenlet of some) greenlet.kill()
  return bytes
}

/** Bytes of an object with three properties: its map, properties, elements and three words. */
const BYTES_OF_OBJECT = 48

/** A list of plain objects, which take so many bytes together. */
function chain(bytes: number): object {
  let all: object | null = null
  for (let i = 0; i < Math.round(bytes / BYTES_OF_OBJECT); i++) all = { next: all, some: i, more: i }
  return { all }
}

/** Fills the crowd. Returns a function that reports the growth of the process for each. `rehearse` makes one and ends it. */
function fill(make: () => unknown, rehearse: () => void): (name: string) => void {
  for (let i = 0; i < 5000; i++) rehearse()
  gc()
  const before = process.memoryUsage.rss()
  for (let i = 0; i < count; i++) crowd[i] = make()
  return (name) => {
    const bytes = Math.round((process.memoryUsage.rss() - before) / count)
    figures[`${name}, ${count}`] = { min: bytes, median: bytes }
  }
}

/** Measures a collection, in nanoseconds. `prepare` runs before each. */
function collections(name: string, times: number, collect: () => void, prepare = () => {}): void {
  const all = Array.from({ length: times }, () => {
    prepare()
    const start = performance.now()
    collect()
    return (performance.now() - start) * 1e6
  })
  figures[name] = summary(all)
}

const minor = (): void => gc({ type: 'minor' })

function makeQuiet(): void {
  for (let i = 0; i < UNTIL_QUIET; i++) minor()
}

async function switches(...rows: Row[]): Promise<void> {
  Object.assign(figures, await measure(rows, 1))
}

const echoing = park(1, echo)
const alone = (name: string): Row => ({ name, run: (times) => roundTrips(echoing, times) })

/** Switches to each greenlet of the crowd in turn. */
function inTurn(times: number): number {
  let done = 0
  while (done < times) {
    const greenlet = crowd[turn] as Greenlet
    turn = (turn + 1) % count
    done = greenlet.switch<number>(done)
  }
  return done
}
let turn = 0

if (kind === 'async') {
  const recordMemory = fill(
    () => parkAsync(DEPTH, never),
    () => void parkAsync(DEPTH, new Promise(() => {})),
  )
  recordMemory('async function: memory')
  gc()
  recordMemory('async function: memory after a collection')
} else if (kind === 'objects') {
  const bytes = heapOfEach()
  gc()
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < count; i++) crowd[i] = chain(bytes)
  gc()
  const each = (process.memoryUsage().heapUsed - before) / count
  if (Math.abs(each / bytes - 1) > 0.2) throw new Error(`the objects take ${each} bytes each, a greenlet ${bytes}`)
  makeQuiet()
  collections(`minor collection, objects as ${count}`, 30, minor)
  collections(`full collection, objects as ${count}`, 3, gc)
} else if (kind === 'visited') {
  fill(parkGreenlet, () => parkGreenlet().kill())
  // Each takes seconds for a million.
  collections(`first full collection, ${count} visited`, 1, gc)
  collections(`full collection, ${count} visited`, count > 100_000 ? 1 : 3, gc)
  if (VISITED.includes(count)) collections(`minor collection, ${count} visited`, 3, minor)
} else {
  makeQuiet()
  collections(`minor collection, none of ${count}`, 30, minor)
  collections(`full collection, none of ${count}`, 5, gc)
  await switches(alone(`switch, none of ${count}`))
  const recordMemory = fill(parkGreenlet, () => parkGreenlet().kill())
  recordMemory('memory')
  collections(`first full collection, ${count}`, 1, gc)
  collections(`full collection, ${count}`, 5, gc)
  recordMemory('memory after a collection')
  makeQuiet()
  collections(`minor collection, ${count}`, 30, minor)
  collections(`minor collection, ${count} after a full one`, count > 100_000 ? 1 : 3, minor, () => {
    inTurn(count)
    gc()
  })
  await switches(alone(`switch, among ${count}`), { name: `switch, to each of ${count}`, run: inTurn })
}
console.log(JSON.stringify(figures))
process.exit()
