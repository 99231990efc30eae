/**
 * `Local`: a value for each greenlet.
 */

import { Greenlet } from '../engine.ts'
import { checkFunction } from './options.ts'

/**
 * A variable that has a value of its own in each greenlet. Other greenlets neither see nor inherit it; for values that
 * pass on to callbacks and to new greenlets, use Node's `AsyncLocalStorage`. A value is dropped with its greenlet.
 *
 * On main it works too; all callbacks of the event loop are main there, and share its value.
 *
 * @example
 * ```js
 * const depth = new Local(() => 0)
 * const nested = () => {
 *   depth.set(depth.get() + 1)
 *   return depth.get()
 * }
 * await spawn(() => [nested(), nested()]) // [ 1, 2 ]
 * nested() // 1
 * ```
 */
export class Local<T = unknown> {
  readonly #values = new WeakMap<Greenlet, T>()
  readonly #initial: (() => T) | undefined

  /**
   * @param initial makes the value of a greenlet that has none yet, when it is read. Without it, that is undefined
   * @throws TypeError `ERR_GREENLET_INVALID_ARG`
   */
  constructor(...[initial]: undefined extends T ? [initial?: () => T] : [initial: () => T])
  constructor(initial?: () => T) {
    if (initial !== undefined) checkFunction('new Local()', initial)
    this.#initial = initial
  }

  /**
   * The value of the current greenlet.
   *
   * @throws any error of the function that makes it; there is no value then
   */
  get(): T {
    const me = Greenlet.current
    if (this.#initial !== undefined && !this.#values.has(me)) this.#values.set(me, this.#initial())
    return this.#values.get(me) as T
  }

  /** Sets the value of the current greenlet. */
  set(value: T): void {
    this.#values.set(Greenlet.current, value)
  }

  /** Takes the value of the current greenlet away. Returns whether there was one. */
  delete(): boolean {
    return this.#values.delete(Greenlet.current)
  }
}
