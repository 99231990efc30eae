/**
 * Tests that also may not leak: greenlet's `leakcheck`.
 *
 * The body runs 50 times, with a turn of the event loop and a collection after each: a few times to warm up, then in three
 * rounds, with full collections between them until nothing is freed any more. What grows by the median of the rounds is
 * suspect, and has some more rounds to come to rest, as compiled code and caches do. What does not leaks.
 */

import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import test, { type ExecutionContext } from 'ava'
import { Greenlet, runtimeInfo } from '../../js/index.ts'
import { collect, scavenge } from './collect.ts'
import { turn } from './promises.ts'

// Code that V8 throws away and compiles again is 200 KB more or less.
setFlagsFromString('--no-flush-bytecode')

const WARM_UP = 5
const ROUNDS = 3
const MOST_ROUNDS = 12
const RUNS = 15

/** What is counted, and how much more of it after a round is noise. */
const NOISE = { greenlets: 0, slots: 0, 'native references': 0, 'bytes of heap': RUNS * 800 }
type Kind = keyof typeof NOISE
const KINDS = Object.keys(NOISE) as Kind[]
type Counts = Readonly<Record<Kind, number>>

/** A test that fails too if its body leaks. One after the other, as they count what is there in the whole thread. */
export function leakcheck(title: string, body: (t: ExecutionContext) => void | Promise<void>): void {
  test.serial(title, async (t) => {
    const leaked = await leaks(() => body(t))
    t.deepEqual(leaked, {}, 'it leaks, per run')
  })
}

/** Runs `body` 50 times. What it leaks in a run, by kind; nothing where it does not leak. */
export async function leaks(body: () => void | Promise<void>): Promise<Partial<Counts>> {
  await repeat(WARM_UP, body)
  const growth: Counts[] = []
  let before = await settled()
  let leaked: Partial<Counts> = {}
  while (growth.length < ROUNDS || (growth.length < MOST_ROUNDS && Object.keys(leaked).length > 0)) {
    await repeat(RUNS, body)
    const after = await settled()
    growth.push(mapKinds((kind) => after[kind] - before[kind]))
    before = after
    leaked = grown(growth.slice(-ROUNDS))
  }
  return leaked
}

/** The kinds that have grown, by how much for each run. */
function grown(growth: readonly Counts[]): Partial<Counts> {
  const median = mapKinds((kind) => growth.map((counts) => counts[kind]).toSorted((a, b) => a - b)[growth.length >> 1]!)
  const leaked = KINDS.filter((kind) => median[kind] > NOISE[kind])
  return Object.fromEntries(leaked.map((kind) => [kind, Math.round(median[kind] / RUNS)]))
}

async function repeat(times: number, body: () => void | Promise<void>): Promise<void> {
  for (let run = 0; run < times; run++) {
    await body()
    await turn()
    scavenge()
  }
}

/** The counts when nothing is freed any more: what dies in one collection may need a turn and another one to be gone. */
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
    // V8's global handles: every reference that an add-on or Node itself has to an object.
    'native references': getHeapStatistics().used_global_handles_size,
    'bytes of heap': process.memoryUsage().heapUsed,
  }
}

function mapKinds(count: (kind: Kind) => number): Counts {
  return Object.fromEntries(KINDS.map((kind) => [kind, count(kind)])) as Counts
}
