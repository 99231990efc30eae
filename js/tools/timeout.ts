/**
 * `timeout()`: a deadline for a block of code.
 */

import { withoutFrames } from '../common/errors.ts'
import { quoted } from '../common/text.ts'
import { expired, Greenlet, GreenletExit, isExit, tellDeadline, TimeoutError } from '../engine.ts'
import { finished, interruptSoon } from './calls.ts'
import { checkFunction, checkTime } from './options.ts'

// Those of now. A test runner may replace them by fake ones later.
const { clearTimeout, setTimeout } = globalThis

/** The innermost deadline that each greenlet is in. */
const innermost = new WeakMap<Greenlet, Deadline>()

class Deadline {
  readonly ms: number
  readonly greenlet = Greenlet.current
  readonly outer = innermost.get(this.greenlet)
  over = false
  /** Once it has passed: what the block ends with. */
  error: TimeoutError | undefined = undefined
  /** Once it has passed: what is thrown where the greenlet waits. */
  thrown: unknown = undefined
  /** Whether it was thrown, or will be in this turn. */
  isThrown = false
  readonly #timer: NodeJS.Timeout

  constructor(ms: number) {
    this.ms = ms
    innermost.set(this.greenlet, this)
    tellDeadline(this.greenlet, this)
    this.#timer = setTimeout(() => this.#pass(), ms)
  }

  end(): void {
    this.over = true
    clearTimeout(this.#timer)
    if (this.outer === undefined) innermost.delete(this.greenlet)
    else innermost.set(this.greenlet, this.outer)
    tellDeadline(this.greenlet, this.outer)
  }

  /** Whether this deadline has ended the block, which has thrown `error`: its error, or what the block made of it. */
  hasCaused(error: unknown): boolean {
    if (!this.isThrown) return false
    if (error === this.thrown) return true
    // The same cannot be told of an error that comes after a later end.
    return !isExit(error) && !this.greenlet.ending && !expired.has(this.greenlet) && !isPast(this.outer)
  }

  #pass(): void {
    const { greenlet, ms } = this
    // The stack of the error will tell where the greenlet waited. A timer has no other frames.
    const error = withoutFrames(
      () =>
        new TimeoutError(
          `greenlet ${quoted(greenlet.name)} was not done in ${ms} ms, the deadline of timeout(); ` +
            'catch ERR_GREENLET_TIMEOUT where that may happen, or give it more time',
        ),
    )
    this.error = error
    // Code inside of another block would take a TimeoutError for that of its own deadline.
    this.thrown =
      innermost.get(greenlet) === this
        ? error
        : new GreenletExit(`the block is ended: the deadline of ${ms} ms of an outer timeout() has passed`, {
            cause: error,
          })
    interruptSoon(
      greenlet,
      this.thrown,
      () => !this.over,
      () => (this.isThrown = true),
    )
  }
}

/**
 * Calls `fn` with a deadline: if it is not done after `ms` milliseconds, a `TimeoutError` is thrown where it waits, or
 * where it waits next. It runs its `finally` blocks and ends with that error. The deadline comes once: a `finally` block may wait.
 *
 * A deadline cannot end code that computes and does not wait, and it does not stop what the greenlet waited for. Children
 * go on, unless they are of a `group()` inside.
 *
 * Deadlines may be nested. If an outer one passes inside of an inner block, a `GreenletExit` is thrown there, of which the
 * `cause` is the `TimeoutError`, and the outer `timeout()` throws the `TimeoutError`. So an inner `catch` of TimeoutErrors
 * does not take it for its own. `otherwise` is called only for the deadline that it was given with, whatever error `fn` has
 * made of that: another one with a `cause`, or one of its cleanup. It is not called if the greenlet was killed meanwhile, or
 * if an outer deadline has passed.
 *
 * On main `fn` is called without a deadline, because it cannot wait there.
 *
 * @example
 * ```js
 * const answer = (ms) => {
 *   sleep(ms)
 *   return 'fresh'
 * }
 * await spawn(() => timeout(1000, () => answer(1))) // 'fresh'
 * await spawn(() => timeout(5, () => answer(1000), () => 'from the cache')) // 'from the cache'
 * ```
 *
 * @param ms milliseconds, 0 to 2**31 - 1
 * @param fn may be async; its promise is waited for then
 * @param otherwise called, without a deadline, if this deadline has ended `fn`; its result is returned then. It gets the
 *   `TimeoutError`, and the error that `fn` has thrown
 * @throws any error of `fn`
 * @throws TimeoutError `ERR_GREENLET_TIMEOUT`
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
 */
export function timeout<T, U = never>(
  ms: number,
  fn: () => T,
  otherwise?: (error: TimeoutError, thrown: unknown) => U,
): Awaited<T> | Awaited<U>
export function timeout(
  ms: number,
  fn: () => unknown,
  otherwise?: (error: TimeoutError, thrown: unknown) => unknown,
): unknown {
  checkTime('the deadline of timeout()', ms)
  checkFunction('timeout()', fn)
  if (otherwise !== undefined) checkFunction("timeout()'s third parameter", otherwise)
  if (Greenlet.current === Greenlet.main) return finished(fn())
  const deadline = new Deadline(ms)
  let thrown: unknown
  try {
    return finished(fn())
  } catch (error) {
    if (!deadline.hasCaused(error)) throw error
    if (otherwise === undefined) throw error === deadline.thrown ? deadline.error : error
    thrown = error
  } finally {
    deadline.end()
  }
  return finished(otherwise(deadline.error!, thrown))
}

/** Whether a deadline has passed that the current greenlet is still in. */
export function isPastDeadline(): boolean {
  return isPast(innermost.get(Greenlet.current))
}

/** Whether this deadline has passed, or one around it. */
function isPast(from: Deadline | undefined): boolean {
  for (let deadline = from; deadline !== undefined; deadline = deadline.outer) {
    if (deadline.error !== undefined) return true
  }
  return false
}
