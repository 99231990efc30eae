/**
 * The data of a dump: plain objects, made for JSON. A number is added to `version` when a member changes its meaning; new
 * members may come without that. What is not known, or does not apply, is left out.
 */

/**
 * All greenlets of a process, or of one thread, at one moment. It is what `JSON.stringify(dump())` gives.
 *
 * @example
 * ```js
 * import { dump } from 'greenlets/dump'
 * const data = dump().toJSON()
 * data.version // 1
 * data.threads[0].greenlets[0].name // 'main'
 * ```
 */
export interface DumpData {
  readonly version: 1
  readonly pid: number
  /** The version of Node.js, without a `v`. */
  readonly node: string
  /** The version of greenlets. */
  readonly greenlets: string
  /** When the dump was made, as `Date.toISOString()` writes it. */
  readonly time: string
  /** The thread that made the dump, or with `workers` all threads, the main thread first. */
  readonly threads: readonly ThreadData[]
}

/**
 * The greenlets of one thread.
 *
 * @example
 * ```js
 * import { dump } from 'greenlets/dump'
 * const [{ threadId, total, omitted }] = dump({ limit: 100 }).toJSON().threads
 * ```
 */
export interface ThreadData {
  /** As `threadId` of `node:worker_threads`: 0 for the main thread. */
  readonly threadId: number
  /** What a Worker is called. */
  readonly title?: string
  /** Why nothing is known of its greenlets: it does not answer, or it uses no greenlets. All else is empty then. */
  readonly problem?: string
  /** The greenlet that ran. Mostly it is main (0), which makes the dump. */
  readonly running: number
  /** The stack of the greenlet that ran, innermost frame first, where another thread or process has asked while it ran. */
  readonly runningStack?: readonly FrameLine[]
  /** How many greenlets have not ended, with main. */
  readonly total: number
  /** How many of them are in each state. */
  readonly states: { readonly unstarted: number; readonly running: number; readonly suspended: number }
  /** How many greenlets the `limit` has left out of `greenlets`. */
  readonly omitted: number
  /** Main first, then in the order in which they were made. Those of `deadlocks` are never left out. */
  readonly greenlets: readonly GreenletData[]
  /** Each different stack once. */
  readonly stacks: readonly StackData[]
  /** Waits that no other greenlet can end. */
  readonly deadlocks: readonly DeadlockData[]
}

/**
 * One greenlet.
 *
 * @example
 * ```js
 * import { dump } from 'greenlets/dump'
 * const [{ greenlets, stacks }] = dump().toJSON().threads
 * const rows = greenlets.map(({ name, waits, stack }) => [name, waits?.text, stacks[stack]?.frames[0]?.text])
 * rows[0][0] // 'main'
 * ```
 */
export interface GreenletData {
  /** Greenlets are numbered in the order in which they are made. Main is 0. */
  readonly id: number
  /** Control characters are escaped, and more than 200 characters are cut off. */
  readonly name: string
  readonly state: 'unstarted' | 'running' | 'suspended'
  /** The id of its parent; null for main. */
  readonly parent: number | null
  /** What it waits for, while it is suspended. */
  readonly waits?: WaitData
  /** Where its stack is in `stacks`, if it has one. */
  readonly stack?: number
  /** The bytes that its stack takes. */
  readonly bytes?: number
  /** Whether it was killed and has not ended yet. */
  readonly ending?: boolean
  /** The greenlet that has made it, while {@link recordOrigins} is on. It may have ended. */
  readonly spawner?: { readonly id: number; readonly name: string }
  /** The line of code that has made it: `file:line:column`, while {@link recordOrigins} is on, and of some greenlets only. */
  readonly site?: string
}

/**
 * What a greenlet waits for.
 *
 * @example
 * ```js
 * import { dump } from 'greenlets/dump'
 * const g = spawn(() => sleep(60_000))
 * await new Promise(setImmediate)
 * const { waits } = dump().toJSON().threads[0].greenlets.find(({ id }) => id === g.serial)
 * waits.kind // 'timer'
 * waits.ms // 60000
 * g.kill()
 * ```
 */
export interface WaitData {
  /**
   * `'switch'`: it has switched away and waits for a `switch()`. `'turn'`: its wait is over, and it will go on.
   * `'timer'`: a `sleep()`. `'greenlets'`: `joinAll()`, or a `group` that waits for its children.
   */
  readonly kind:
    | 'switch'
    | 'turn'
    | 'promise'
    | 'thenable'
    | 'timer'
    | 'greenlet'
    | 'greenlets'
    | 'lock'
    | 'condition'
    | 'semaphore'
    | 'event'
    | 'queue item'
    | 'queue place'
    | 'pool'
    | 'group'
  /** For people. */
  readonly text: string
  /** The ids of the greenlets that have to do something first: the holder of a lock, those that are joined. */
  readonly on?: readonly number[]
  /** The same number in one thread is the same promise or tool. */
  readonly object?: number
  /** The time that it was given, in milliseconds: of a `sleep()`, or a `timeout`. */
  readonly ms?: number
  /** The milliseconds that are left of it. */
  readonly left?: number
  /** For how many milliseconds it has waited: for a `sleep()`, and while {@link recordOrigins} is on. */
  readonly since?: number
}

/**
 * A stack that one greenlet or several have.
 *
 * @example
 * ```js
 * import { dump } from 'greenlets/dump'
 * for (const { count, frames } of dump().toJSON().threads[0].stacks) console.log(count, frames[0]?.text)
 * ```
 */
export interface StackData {
  /** How many greenlets of the dump have it. */
  readonly count: number
  /** Innermost first. */
  readonly frames: readonly FrameLine[]
  /** How many frames were left out between the innermost and the outermost ones. */
  readonly omitted?: number
  /** Why the stack could not be read. */
  readonly problem?: string
}

/**
 * One frame.
 *
 * @example
 * ```js
 * import { dump } from 'greenlets/dump'
 * for (const { text, line } of dump().toJSON().threads[0].stacks[0]?.frames ?? []) console.log(text, line)
 * ```
 */
export interface FrameLine {
  /** As in an error's stack. */
  readonly text: string
  /** The name of the function. */
  readonly function?: string
  /** A path or a URL: of the source, where a source map leads to it. */
  readonly file?: string
  readonly line?: number
  readonly column?: number
  /** Whether it is one of the package itself, for example of a Lock. */
  readonly own?: true
}

/**
 * Greenlets that wait for each other. Waits that have a timeout or a signal are not counted.
 *
 * @example
 * ```js
 * import { dump } from 'greenlets/dump'
 * for (const { kind, greenlets } of dump().toJSON().threads[0].deadlocks) console.log(kind, greenlets)
 * ```
 */
export interface DeadlockData {
  /**
   * `'cycle'`: each waits for the next one, and the last one for the first. `'abandoned'`: they wait for a lock of a greenlet
   * that has ended.
   */
  readonly kind: 'cycle' | 'abandoned'
  /** Their ids. */
  readonly greenlets: readonly number[]
  /** For people. */
  readonly text: string
}
