/**
 * Types of the options and the state of a greenlet.
 */

import type { AsyncResource } from 'node:async_hooks'
import type { Greenlet } from './greenlet.ts'

/**
 * What a greenlet is doing. `'running'` is the current one alone.
 *
 * @example
 * ```js
 * new Greenlet(() => {}).state // 'unstarted'
 * Greenlet.main.state // 'running'
 * ```
 */
export type GreenletState = 'unstarted' | 'running' | 'suspended' | 'dead'

/**
 * The options of `new Greenlet(run, options)`. Each may be left out, or undefined.
 *
 * @example
 * ```js
 * const g = new Greenlet(() => {}, { name: 'worker', parent: Greenlet.main, context: null })
 * g.name // 'worker'
 * ```
 */
export interface GreenletOptions {
  /** The greenlet that gets the result, and the errors that leave `run`. Default: the current greenlet. */
  readonly parent?: Greenlet | null | undefined
  /** For messages and stack dumps. Default: the name of `run`, or `greenlet-N`. */
  readonly name?: string | undefined
  /**
   * The async context it runs in, as {@link Greenlet.gr_context}; null for no context. Default: inherited from the
   * caller.
   */
  readonly context?: AsyncResource | null | undefined
}
