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

/** Collects until `condition` holds, as long as that may take. Whether it does then, is for the test to say. */
export async function collectUntil(condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 20 && !condition(); tries++) await collect()
  // What a finalizer does may have left something for the next turn.
  await new Promise((resolve) => setImmediate(resolve))
}
