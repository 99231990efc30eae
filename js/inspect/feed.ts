/** What the server sends to the page, as events: everything at first, and then what has changed. */

import type { DeadlockData, GreenletData, StackData, WaitData } from '../dump/data.ts'

/** One refresh. The first one that a page gets has everything. */
export interface Refresh {
  /** Whether it replaces what the page knows. */
  readonly whole: boolean
  /** As `Date.now()`. */
  readonly time: number
  readonly pid: number
  readonly threadId: number
  /** The working directory, with a slash at its end. */
  readonly folder: string
  readonly node: string
  readonly version: string
  /** The id of the greenlet that ran. */
  readonly running: number
  readonly total: number
  readonly states: { readonly unstarted: number; readonly running: number; readonly suspended: number }
  /** How many greenlets are beyond the limit, and are not here. */
  readonly omitted: number
  /** Those that are new or have changed. */
  readonly greenlets: readonly GreenletData[]
  /** What others have changed of the waits of the rest, such as the holder of the lock, by their ids. */
  readonly waits: readonly (readonly [number, WaitData])[]
  /** The ids of those that have ended. */
  readonly ended: readonly number[]
  /** New stacks, by their number. Their `count` is not kept up to date. */
  readonly stacks: readonly (readonly [number, StackData])[]
  readonly deadlocks: readonly DeadlockData[]
  /** How many milliseconds the server needed. */
  readonly took: number
}

/** Lines of a source file around a line. */
export interface SourceLines {
  /** The number of the first line. */
  readonly first: number
  readonly lines: readonly string[]
}
