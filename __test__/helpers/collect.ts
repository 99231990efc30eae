// Garbage collection on demand, without a command-line flag.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { turn } from './promises.ts'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as (options?: { type: 'minor' }) => void

/** Ends the current job, in which WeakRefs keep their targets alive, then collects all garbage. */
export async function collect(): Promise<void> {
  await turn()
  gc()
}

/** Collects `rounds` times, with a turn of the event loop after each collection. */
export async function collectRounds(rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    await collect()
    await turn()
  }
}

/** Collects young objects and moves the live ones. Takes less than a millisecond. */
export function scavenge(): void {
  gc({ type: 'minor' })
}

/**
 * Collects until `condition` holds or enough time has passed; the test must check the condition itself. A collection is
 * expensive and its results are reported in later turns of the event loop, so each collection is followed by some turns.
 */
export async function collectUntil(condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 10; tries++) {
    await collect()
    for (let turns = 0; turns < 4; turns++) {
      await turn()
      if (condition()) return
    }
  }
}
