/**
 * `Pool`: greenlets of which so many run at a time.
 */

import { isExit, spawn } from '../engine.ts'
import { typeError } from '../common/errors.ts'
import { immediate } from '../common/turns.ts'
import { describe } from '../common/values.ts'
import type { SpawnedGreenlet } from '../hub/spawn.ts'
import { combined, finished, killEach, refuseOnMain } from './calls.ts'
import { group } from './group.ts'
import { Line } from './line.ts'
import { checkCount, checkFunction, checkLimits, type Limits } from './options.ts'
import { Semaphore } from './semaphore.ts'

/** For dumps: the greenlets that `join()` waits for. The class sets it. */
let tell: (pool: Pool) => { readonly joined: readonly object[] }

type Spawn = <Args extends unknown[], T>(fn: (...args: Args) => T, ...args: Args) => SpawnedGreenlet<Awaited<T>>

/**
 * At most `size` greenlets at a time. Further ones wait for a place, in the order in which they came.
 *
 * On main, `spawn` works while there is a free place, and so do `kill`, and `join` of an empty pool. The others throw
 * `ERR_GREENLET_WAIT_ON_MAIN`. A greenlet of a pool that waits for another place in the same pool may wait for ever.
 *
 * @example
 * ```js
 * const pool = new Pool(2)
 * const size = (word) => {
 *   sleep(1)
 *   return word.length
 * }
 * await spawn(() => pool.map(['apple', 'fig', 'pear'], size)) // [ 5, 3, 4 ]
 * ```
 */
export class Pool {
  static {
    tell = (pool) => ({ joined: [...pool.#living] })
  }

  readonly size: number
  readonly #places: Semaphore
  readonly #living = new Set<SpawnedGreenlet<unknown>>()
  readonly #joining = new Line('pool', this, tell)

  /**
   * @param size a whole number from 1 on
   * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
   */
  constructor(size: number) {
    checkCount('the size of a Pool', size, 1)
    this.size = size
    this.#places = new Semaphore(size)
  }

  /** The greenlets of the pool that have not ended, in the order in which they were spawned. */
  get living(): readonly SpawnedGreenlet<unknown>[] {
    return [...this.#living]
  }

  /** How many places are free. */
  get free(): number {
    return this.#places.free
  }

  /** How many greenlets wait for a place. */
  get waiting(): number {
    return this.#places.waiting
  }

  /**
   * As `spawn()` of `greenlets`, as soon as there is a free place; blocks until then. The place is free again when `fn` is
   * done; if it is async, when its promise is settled.
   *
   * @throws GreenletError `ERR_GREENLET_WAIT_ON_MAIN` where it would block
   * @throws TypeError `ERR_GREENLET_INVALID_ARG`
   */
  spawn<Args extends unknown[], T>(fn: (...args: Args) => T, ...args: Args): SpawnedGreenlet<Awaited<T>> {
    checkFunction('Pool.spawn()', fn)
    return this.#start(spawn, fn, args)
  }

  /**
   * Calls `fn` for each item, each in a greenlet of the pool, and returns the results in the order of the items. If one
   * fails, those that run are killed, and its error is thrown; `map` is a `group()` in this.
   *
   * @param fn gets the item and its index; may be async
   * @throws any error of `fn`; of several, an `AggregateError`
   * @throws GreenletError `ERR_GREENLET_KILLED` if one was killed; `ERR_GREENLET_WAIT_ON_MAIN`
   * @throws TypeError `ERR_GREENLET_INVALID_ARG`
   */
  map<I, T>(items: Iterable<I>, fn: (item: I, index: number) => T): Awaited<T>[] {
    checkItems('Pool.map()', items)
    checkFunction('Pool.map()', fn)
    refuseOnMain('Pool.map()')
    const started = group((children): SpawnedGreenlet<Awaited<T>>[] => {
      const all = []
      for (const item of items) all.push(this.#start(children.spawn, fn, [item, all.length]))
      return all
    })
    return started.map((greenlet) => greenlet.join())
  }

  /**
   * As `map`, but gives the results one by one, in the order of the items, and takes items only as results are taken: at
   * most `size` items are in work, or are done and not yet taken. So it can iterate what has no end. If it is left early,
   * the greenlets that run are killed.
   *
   * @param fn gets the item and its index; may be async
   * @throws any error of `fn`, when its turn comes
   * @throws GreenletError `ERR_GREENLET_KILLED` if one was killed; `ERR_GREENLET_WAIT_ON_MAIN`
   * @throws TypeError `ERR_GREENLET_INVALID_ARG`
   */
  imap<I, T>(items: Iterable<I>, fn: (item: I, index: number) => T): Generator<Awaited<T>, void, undefined> {
    checkItems('Pool.imap()', items)
    checkFunction('Pool.imap()', fn)
    return this.#imap(items, fn)
  }

  /**
   * Blocks until the pool is empty and no greenlet waits for a place. Errors of its greenlets are not thrown here: they are
   * with those that `spawn` gave.
   *
   * @throws TimeoutError `ERR_GREENLET_TIMEOUT`, or the reason of the signal
   * @throws GreenletError `ERR_GREENLET_WAIT_ON_MAIN` where it would block
   * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
   */
  join(limits?: Limits): void {
    checkLimits('Pool.join()', limits)
    this.#sweep()
    if (!this.#idle()) this.#joining.wait(limits, nothing)
  }

  /**
   * Kills the greenlets of the pool, but not the current one. Those that wait in their cleanup go on ending; `join` waits
   * for them. The pool can be used again.
   *
   * @throws the error of `Greenlet.kill()`; of several, an `AggregateError`, when all were tried
   */
  kill(): void {
    const errors = killEach([...this.#living])
    this.#sweep()
    const exit = errors.find(isExit)
    // This greenlet was killed meanwhile.
    if (exit !== undefined) throw exit
    if (errors.length > 0) throw combined(errors, 'Pool.kill()')
  }

  *#imap<I, T>(items: Iterable<I>, fn: (item: I, index: number) => T): Generator<Awaited<T>, void, undefined> {
    refuseOnMain('Pool.imap()')
    const running: SpawnedGreenlet<Awaited<T>>[] = []
    let index = 0
    try {
      for (const item of items) {
        if (running.length === this.size) yield take(running)
        const greenlet = this.#start(spawn, fn, [item, index++])
        // Its error is thrown when its turn comes, or not at all. It is never an unhandled rejection.
        greenlet.catch(nothing)
        running.push(greenlet)
      }
      while (running.length > 0) yield take(running)
    } finally {
      killEach(running)
    }
  }

  #start<Args extends unknown[], T>(start: Spawn, fn: (...args: Args) => T, args: Args): SpawnedGreenlet<Awaited<T>> {
    if (!this.#places.tryAcquire()) {
      this.#sweep()
      try {
        this.#places.acquire()
      } catch (error) {
        // It may have handed on the last place.
        this.#wakeJoining()
        throw error
      }
    }
    let greenlet: SpawnedGreenlet<Awaited<T>> | undefined
    try {
      greenlet = start((): Awaited<T> => {
        try {
          return finished(fn(...args))
        } finally {
          this.#leave(greenlet!)
        }
      }) as SpawnedGreenlet<Awaited<T>>
    } finally {
      if (greenlet === undefined) this.#giveBack()
    }
    if (fn.name !== '') greenlet.name = fn.name
    this.#living.add(greenlet)
    // One that is killed before it starts runs no `finally`. It would have started by then.
    immediate(() => this.#sweep())
    return greenlet
  }

  /** Once for each greenlet. */
  #leave(greenlet: SpawnedGreenlet<unknown>): void {
    if (this.#living.delete(greenlet)) this.#giveBack()
  }

  #giveBack(): void {
    this.#places.release()
    this.#wakeJoining()
  }

  #wakeJoining(): void {
    if (this.#idle()) this.#joining.all()
  }

  /** Finds those that have ended without their `finally`. */
  #sweep(): void {
    for (const greenlet of this.#living) if (greenlet.dead) this.#leave(greenlet)
  }

  /** A place that was given to a greenlet that waited for it is not free. */
  #idle(): boolean {
    return this.#places.free === this.size
  }
}

/** The result of the oldest one. */
function take<T>(running: SpawnedGreenlet<T>[]): Awaited<T> {
  const result = running[0]!.join()
  running.shift()
  return result
}

function checkItems(of: string, items: unknown): void {
  if (typeof (items as Partial<Iterable<unknown>> | null | undefined)?.[Symbol.iterator] === 'function') return
  throw typeError(`${of} takes an iterable, not ${describe(items)}`)
}

function nothing(): void {}
