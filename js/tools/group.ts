/**
 * `group()`: greenlets that end with the block that has started them.
 */

import { quoted } from '../common/text.ts'
import { Greenlet, GreenletError, GreenletExit, isExit, spawn } from '../engine.ts'
import type { SpawnedGreenlet } from '../hub/spawn.ts'
import { combined, finished, interruptSoon, killEach, refuseOnMain } from './calls.ts'
import { Line } from './line.ts'
import { checkFunction } from './options.ts'

/**
 * What `group()` gives to its function.
 *
 * @example
 * ```js
 * await spawn(() => group((children) => children.spawn(() => 6 * 7))) // 42
 * ```
 */
export interface Group {
  /** How many children have not ended. */
  readonly living: number
  /**
   * As `spawn()` of `greenlets`: the child is also a promise. It belongs to the group, and ends with it.
   *
   * @throws GreenletError `ERR_GREENLET_CLOSED` if the group has ended, or is ending because of an error
   * @throws TypeError `ERR_GREENLET_INVALID_ARG`
   */
  spawn<Args extends unknown[], T>(fn: (...args: Args) => T, ...args: Args): SpawnedGreenlet<Awaited<T>>
}

class Children implements Group {
  readonly #owner = Greenlet.current
  readonly #living = new Set<Greenlet>()
  readonly #errors: unknown[] = []
  /** Where the owner waits at the end. */
  readonly #end = new Line('group', this, (group: Children) => ({ joined: [...group.#living] }))
  #inBody = true
  #closed = false
  /** What was thrown in the owner to end it; it goes on if there are no errors. */
  #exit: { readonly error: unknown } | undefined
  /** What the owner is interrupted with when a child has failed. */
  #interruption: GreenletExit | undefined

  get living(): number {
    return this.#living.size
  }

  // A function, so that it can be passed on.
  readonly spawn = <Args extends unknown[], T>(
    fn: (...args: Args) => T,
    ...args: Args
  ): SpawnedGreenlet<Awaited<T>> => {
    checkFunction("a group's spawn()", fn)
    if (this.#closed) {
      throw new GreenletError(
        'ERR_GREENLET_CLOSED',
        `the group of greenlet ${quoted(this.#owner.name)} has ended, or is ending because of an error; spawn its children before`,
      )
    }
    const child = spawn(() => this.#run(fn, args))
    if (fn.name !== '') child.name = fn.name
    this.#living.add(child)
    const end = (): void => this.#ended(child)
    // So no error of a child is an unhandled rejection: the group throws them.
    void child.then(end, end)
    return child as SpawnedGreenlet<Awaited<T>>
  }

  /** Calls `fn`, waits until the children have ended, and throws what went wrong. */
  own<T>(fn: (group: Group) => T): Awaited<T> {
    let result: Awaited<T> | undefined
    try {
      result = finished(fn(this))
    } catch (error) {
      this.#leave(error)
    }
    this.#inBody = false
    try {
      if (this.#living.size > 0) this.#end.wait(undefined, nothing)
    } catch (error) {
      this.#leave(error)
    }
    // Only children that wait in their cleanup are left. If this is interrupted too, they end without their owner.
    try {
      if (this.#living.size > 0) this.#end.wait(undefined, nothing)
    } catch (error) {
      this.#leave(error)
    }
    this.#closed = true
    if (this.#errors.length > 0) throw combined(this.#errors, `the group of greenlet ${quoted(this.#owner.name)}`)
    if (this.#exit !== undefined) throw this.#exit.error
    return result as Awaited<T>
  }

  /** Runs in each child. A child that was killed has not failed. */
  #run<Args extends unknown[], T>(fn: (...args: Args) => T, args: Args): Awaited<T> {
    try {
      return finished(fn(...args))
    } catch (error) {
      if (!isExit(error)) this.#errors.push(error)
      throw error
    }
  }

  /** `error` leaves the owner's function, or has interrupted its wait for the children. */
  #leave(error: unknown): void {
    if (isExit(error)) {
      if (error !== this.#interruption) this.#exit = { error }
    } else this.#errors.push(error)
    this.#cancel()
  }

  /** Ends the children that are left, the latest first, and each one once: another kill would break its cleanup. */
  #cancel(): void {
    const left = this.#closed ? [] : [...this.#living].toReversed()
    this.#closed = true
    for (const error of killEach(left)) {
      // Another greenlet has killed the owner meanwhile.
      if (isExit(error)) this.#exit = { error }
    }
    // Most are dead already. The owner, which may have been killed, must not wait for them.
    for (const child of this.#living) if (child.dead) this.#living.delete(child)
  }

  #ended(child: Greenlet): void {
    this.#living.delete(child)
    if (this.#errors.length > 0 && !this.#closed) {
      this.#cancel()
      this.#interruptOwner()
    }
    if (this.#living.size === 0) this.#end.all()
  }

  #interruptOwner(): void {
    if (!this.#inBody) return
    this.#interruption = new GreenletExit('the group is ending, because a child has failed', {
      cause: this.#errors[0],
    })
    interruptSoon(this.#owner, this.#interruption, () => this.#inBody)
  }
}

function nothing(): void {}

/**
 * Calls `fn` with a group in which it can spawn greenlets, and returns its result when all of them have ended. So no
 * child outlives the block.
 *
 * - If a child fails, the other children are killed, and a `GreenletExit` is thrown where `fn` waits. When all have
 *   ended, `group` throws the error; if there was more than one, an `AggregateError` with all of them.
 * - If `fn` throws, or its greenlet is killed, or its time is up, the children are killed, and then `group` throws.
 * - A child that was killed has not failed, and the others go on.
 * - Children may wait in their `finally` blocks; `group` waits for them. If its greenlet is interrupted a second time
 *   meanwhile, it does not.
 *
 * On main it throws `ERR_GREENLET_WAIT_ON_MAIN`, and `fn` is not called.
 *
 * @example
 * ```js
 * const load = (name) => {
 *   sleep(1)
 *   return name.toUpperCase()
 * }
 * function page() {
 *   return group((children) => {
 *     const user = children.spawn(load, 'ada')
 *     const orders = children.spawn(load, 'orders')
 *     return `${user.join()} ${orders.join()}`
 *   })
 * }
 * await spawn(page) // 'ADA ORDERS'
 * ```
 *
 * @param fn may be async; its promise is waited for then
 * @throws any error of `fn` and of the children
 * @throws GreenletError `ERR_GREENLET_WAIT_ON_MAIN`
 * @throws TypeError `ERR_GREENLET_INVALID_ARG`
 */
export function group<T>(fn: (group: Group) => T): Awaited<T> {
  checkFunction('group()', fn)
  refuseOnMain('group()')
  return new Children().own(fn)
}
