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
