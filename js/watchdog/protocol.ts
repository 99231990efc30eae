/**
 * What the watched thread and the thread that watches it tell each other.
 */

import type { MessagePort } from 'node:worker_threads'

/**
 * A frame of a stack that was read while it ran. What the frame does not have is null.
 *
 * @example
 * ```js
 * import { watch } from 'greenlets/watchdog'
 * const dog = watch({
 *   print: false,
 *   report({ stacks }) {
 *     for (const { functionName, lineNumber } of stacks[0]?.frames ?? []) console.log(functionName, lineNumber)
 *   },
 * })
 * dog.close()
 * ```
 */
export interface WatchedFrame {
  /** Null for an anonymous function. */
  readonly functionName: string | null
  /** A path; a URL where the code is in no file, such as `node:internal/timers`; null for evaluated code. */
  readonly fileName: string | null
  /** From 1. */
  readonly lineNumber: number
  /** From 1, in UTF-16 units. */
  readonly columnNumber: number
}

/**
 * What ran in a thread whose event loop was blocked, at one moment of that time.
 *
 * @example
 * ```js
 * import { watch } from 'greenlets/watchdog'
 * const dog = watch({
 *   print: false,
 *   report({ stacks }) {
 *     for (const { ms, greenlet } of stacks) console.log(`after ${ms} ms: ${greenlet?.name}`)
 *   },
 * })
 * dog.close()
 * ```
 */
export interface BlockedStack {
  /** For how many milliseconds the event loop had been blocked then. */
  readonly ms: number
  /** The running greenlet: its `name` and `serial`; null where no JavaScript could be stopped. Main's serial is 0. */
  readonly greenlet: { readonly name: string; readonly serial: number } | null
  /**
   * The stack of that greenlet, innermost frame first, without V8's own functions. Null where no JavaScript could be
   * stopped: the thread was in native code, such as `execSync()`.
   */
  readonly frames: readonly WatchedFrame[] | null
}

/** A stack, and the beat since which the event loop was blocked. */
export interface Sample extends BlockedStack {
  readonly beat: bigint
}

/** A debugger had stopped the thread, which has not run since this beat. */
export interface Paused {
  readonly beat: bigint
}

/** What the watching thread gets. */
export interface WatcherData {
  /** The moment of the last beat, in nanoseconds of the system's monotonic clock. */
  readonly beats: BigInt64Array
  /** For each {@link Sample} and {@link Paused}. */
  readonly port: MessagePort
  /** Milliseconds without a beat after which the thread is blocked. */
  readonly after: number
  /** Milliseconds between two beats. */
  readonly interval: number
  readonly print: boolean
  readonly threadId: number
  readonly isMainThread: boolean
  /** The folder of the package's own code, which is left out at the ends of stacks; undefined in a bundle. */
  readonly home: string | undefined
  /** The expression that names the running greenlet. */
  readonly question: string
}
