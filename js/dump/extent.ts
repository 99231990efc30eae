/** How much a dump has. It imports nothing that runs greenlets, so the command line starts fast. */

import type { ThreadData } from './data.ts'

/** How much a dump has. */
export interface Extent {
  /** At most so many greenlets of each thread. */
  readonly limit: number
  /** At most so many frames of each stack; 0 for no stacks. */
  readonly frames: number
  /**
   * The `sourceURL` of the code that has asked from outside. What ran when it was asked, if anything did, is further out on the
   * running stack.
   */
  readonly asker?: string
}

export const DEFAULT_EXTENT: Extent = { limit: 10_000, frames: 100 }

/** A thread of which nothing is known. */
export function emptyThread(id: number, problem: string, title?: string): ThreadData {
  const states = { unstarted: 0, running: 0, suspended: 0 }
  const rest = { running: 0, total: 0, states, omitted: 0, greenlets: [], stacks: [], deadlocks: [] }
  return title === undefined ? { threadId: id, problem, ...rest } : { threadId: id, title, problem, ...rest }
}
