/**
 * Tests that fail if they leak, like greenlet's `leakcheck`.
 *
 * The body runs 50 times, with a turn of the event loop and a collection after each run: a few times to warm up, then in three
 * rounds. Between the rounds full collections run until they free nothing more. A count that grows by the median of the rounds
 * is suspect and gets more rounds to settle, as compiled code and caches do. A count that does not settle is a leak (`grown`).
 */

import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import test, { type ExecutionContext } from 'ava'
import { Greenlet, runtimeInfo } from '../../js/index.ts'
import { collect, scavenge } from './collect.ts'
import { turn } from './promises.ts'

// Throwing code away and compiling it again changes the heap by 200 KB.
setFlagsFromString('--no-flush-bytecode')

const WARM_UP = 5
const ROUNDS = 3
const MOST_ROUNDS = 12
const RUNS = 15

/** The counts, and the growth of each in a round that is only noise. */
const NOISE = { greenlets: 0, slots: 0, 'native references': 0, 'bytes of heap': RUNS * 800 }
type Kind = keyof typeof NOISE
const KINDS = Object.keys(NOISE) as Kind[]
type Counts = Readonly<Record<Kind, number>>

/** A test that also fails if its body leaks. These tests are serial, because they count objects of the whole thread. */
export function leakcheck(title: string, body: (t: ExecutionContext) => void | Promise<void>): void {
  test.serial(title, async (t) => {
    const leaked = await leaks(() => body(t))
    t.deepEqual(leaked, {}, 'it leaks, per run')
  })
}

/** Runs `body` 50 times or more. Returns the leaks in each run, by kind; an empty object if there are none. */
export async function leaks(body: () => void | Promise<void>): Promise<Partial<Counts>> {
  await repeat(WARM_UP, body)
  const counts = [await settled()]
  let leaked: Partial<Counts> = {}
  while (counts.length <= ROUNDS || (counts.length <= MOST_ROUNDS && Object.keys(leaked).length > 0)) {
    await repeat(RUNS, body)
    counts.push(await settled())
    leaked = grown(counts)
  }
  return leaked
}

/**
 * The kinds that have grown, with their growth for each run. `counts` are those before the first round and after each round.
 *
 * A kind that has grown in most of the last rounds may only go up and down: code that is compiled and thrown away again changes the heap
 * by 240 KB. A leak also raises the lowest count of the second half above that of the first half.
 */
export function grown(counts: readonly Counts[]): Partial<Counts> {
  const last = counts.slice(-ROUNDS - 1)
  const half = counts.length >> 1
  const grownBy = (kind: Kind): number => {
    const rounds = last.slice(1).map((after, round) => after[kind] - last[round]![kind])
    const median = rounds.toSorted((a, b) => a - b)[rounds.length >> 1]!
    const lowest = (some: readonly Counts[]): number => Math.min(...some.map((count) => count[kind]))
    return Math.min(median, (lowest(counts.slice(-half)) - lowest(counts.slice(0, half))) / (counts.length - half))
  }
  const leaked = KINDS.map((kind) => [kind, grownBy(kind)] as const).filter(([kind, growth]) => growth > NOISE[kind])
  return Object.fromEntries(leaked.map(([kind, growth]) => [kind, Math.round(growth / RUNS)]))
}

async function repeat(times: number, body: () => void | Promise<void>): Promise<void> {
  for (let run = 0; run < times; run++) {
    await body()
    await turn()
    scavenge()
  }
}

/** The counts when no more objects are freed. Freeing an object may need a collection, a turn and another collection. */
async function settled(): Promise<Counts> {
  let counts = count()
  for (;;) {
    await collect()
    await turn()
    await turn()
    const next = count()
    const freed = KINDS.some((kind) => next[kind] < counts[kind])
    counts = next
    if (!freed) return counts
  }
}

function count(): Counts {
  return {
    greenlets: Greenlet.all().length,
    slots: runtimeInfo().live ?? 0,
    // V8's global handles: all references that add-ons and Node itself have to objects.
    'native references': getHeapStatistics().used_global_handles_size,
    'bytes of heap': process.memoryUsage().heapUsed,
  }
}
