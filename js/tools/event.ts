/**
 * `Event`: a flag that greenlets wait for.
 */

import { Line } from './line.ts'
import { checkLimits, type Limits } from './options.ts'

/**
 * A flag. Greenlets wait until it is set; setting it wakes all of them. Use it to say that something has happened, such
 * as "ready" or "stop". For a value, a promise and `wait()` are enough.
 *
 * On main, `set`, `clear` and `isSet` work, and so does `wait` while the flag is set.
 *
 * @example
 * ```js
 * const ready = new Event()
 * const waiting = spawn(() => {
 *   ready.wait()
 *   return 'go'
 * })
 * ready.set()
 * await waiting // 'go'
 * ```
 */
export class Event {
  readonly #line = new Line('event', this)
  #set = false

  /** Whether the flag is set. */
  get isSet(): boolean {
    return this.#set
  }

  /** How many greenlets wait. */
  get waiting(): number {
    return this.#line.length
  }

  /** Sets the flag, and wakes all greenlets that wait, even if `clear` is called before they run. */
  set(): void {
    this.#set = true
    this.#line.all()
  }

  /** Takes the flag back. From now on `wait` blocks again. */
  clear(): void {
    this.#set = false
  }

  /**
   * Blocks until the flag is set. Returns at once if it is.
   *
   * @throws TimeoutError `ERR_GREENLET_TIMEOUT`, or the reason of the signal
   * @throws GreenletError `ERR_GREENLET_WAIT_ON_MAIN` where it would block
   * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
   */
  wait(limits?: Limits): void {
    checkLimits('Event.wait()', limits)
    if (!this.#set) this.#line.wait(limits, nothing)
  }
}

/** There is no turn to hand on: all greenlets are woken. */
function nothing(): void {}
