// Warnings of the process.

import { turn } from './promises.ts'

/** Returns the warnings that the process emits during `body`. They are not printed. */
export async function warningsOf(body: () => Promise<void>): Promise<Error[]> {
  const seen: Error[] = []
  const listeners = process.listeners('warning')
  process.removeAllListeners('warning')
  process.on('warning', (warning) => seen.push(warning))
  try {
    await body()
    await turn()
  } finally {
    process.removeAllListeners('warning')
    for (const listener of listeners) process.on('warning', listener)
  }
  return seen
}
