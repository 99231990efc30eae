// Garbage collection on demand, without a flag on the command line.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as (options?: { type: 'minor' }) => void

/** Lets the job end that WeakRefs keep their targets alive for, then collects everything that can be. */
export async function collect(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
  gc()
}

/** Collects what is young, and moves what stays: a thing of under a millisecond. */
export function scavenge(): void {
  gc({ type: 'minor' })
}

/**
 * Collects until `condition` holds, as long as that may take; whether it does then is for the test to say. A collection is
 * dear and what it finds is told in later turns, so there are some turns for each.
 */
export async function collectUntil(condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 10; tries++) {
    await collect()
    for (let turns = 0; turns < 4; turns++) {
      await new Promise((resolve) => setImmediate(resolve))
      if (condition()) return
    }
  }
}
