/**
 * `Semaphore`: so many greenlets at a time.
 */

import { GreenletError } from '../engine.ts'
import { finished } from './calls.ts'
import { Line } from './line.ts'
import { checkCount, checkFunction, checkLimits, type Limits, optionsOf } from './options.ts'

/**
 * The options of `new Semaphore()`.
 *
 * @example
 * ```js
 * const bounded = new Semaphore(2, { max: 2 })
 * bounded.free // 2
 * ```
 */
export interface SemaphoreOptions {
  /** `release` throws where there would be more free permits than these. Default: Infinity. */
  readonly max?: number | undefined
}

/**
 * A number of permits. `acquire` takes one and blocks while there is none; `release` gives one back. Greenlets get their
 * permits in the order in which they came. A permit goes from the greenlet that releases it to the first that waits, so
 * no other greenlet can take it in between.
 *
 * Permits belong to no greenlet: any code may release them, also on main. On main, `acquire` and `run` work while there is
 * a free permit.
 *
 * @example
 * ```js
 * const connections = new Semaphore(2)
 * let [now, most] = [0, 0]
 * const query = () =>
 *   connections.run(() => {
 *     most = Math.max(most, ++now)
 *     sleep(1)
 *     now--
 *   })
 * await Promise.all([1, 2, 3, 4].map(() => spawn(query)))
 * most // 2
 * ```
 */
export class Semaphore {
  readonly #line = new Line('semaphore', this)
  readonly #max: number
  #free: number

  /**
   * @param permits how many there are at first: a whole number from 0 on, or Infinity
   * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
   */
  constructor(permits: number, options?: SemaphoreOptions) {
    checkCount('the number of permits of a Semaphore', permits, 0, true)
    const { max = Infinity } = optionsOf('new Semaphore()', options, ['max'])
    checkCount('the option max of a Semaphore', max, permits, true)
    this.#free = permits
    this.#max = max
  }

  /** How many permits are free. */
  get free(): number {
    return this.#free
  }

  /** How many greenlets wait for a permit. */
  get waiting(): number {
    return this.#line.length
  }

  /**
   * Takes a permit. Blocks while there is none.
   *
   * @throws TimeoutError `ERR_GREENLET_TIMEOUT`, or the reason of the signal
   * @throws GreenletError `ERR_GREENLET_WAIT_ON_MAIN` where it would block
   * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
   */
  acquire(limits?: Limits): void {
    checkLimits('Semaphore.acquire()', limits)
    // While greenlets wait, there is no free permit.
    if (!this.tryAcquire()) this.#line.wait(limits, () => this.#put())
  }

  /** Takes a permit if there is a free one, and returns whether it did. Never blocks. */
  tryAcquire(): boolean {
    if (this.#free === 0) return false
    this.#free--
    return true
  }

  /**
   * Gives a permit back. Never blocks and never switches.
   *
   * @throws GreenletError `ERR_GREENLET_NOT_HELD` where there would be more than `max` free ones
   */
  release(): void {
    if (this.#free >= this.#max) {
      throw new GreenletError(
        'ERR_GREENLET_NOT_HELD',
        `all ${this.#max} permits of the Semaphore are free already; call release() once for each acquire()`,
      )
    }
    this.#put()
  }

  /**
   * Takes a permit, calls `fn`, and gives the permit back, also if `fn` throws or the greenlet is killed.
   *
   * @param fn may be async; its promise is waited for then
   * @throws any error of `fn`, and those of `acquire`
   */
  run<T>(fn: () => T, limits?: Limits): Awaited<T> {
    checkFunction('Semaphore.run()', fn)
    this.acquire(limits)
    try {
      return finished(fn())
    } finally {
      this.#put()
    }
  }

  #put(): void {
    if (this.#line.next() === undefined) this.#free++
  }
}
