/**
 * `retry()`: another attempt where one failed.
 */

import { expired, Greenlet, isExit, sleep } from '../engine.ts'
import { finished } from './calls.ts'
import { checkCount, checkFunction, checkLimits, checkTime, optionsOf } from './options.ts'
import { isPastDeadline } from './timeout.ts'

/**
 * The options of `retry()`.
 *
 * @example
 * ```js
 * const options = { times: 5, delay: (attempt) => 2 ** attempt, when: (error) => error.code === 'EAGAIN' }
 * retry(() => 'at once', options) // 'at once'
 * ```
 */
export interface RetryOptions {
  /** How often the function is called at most. Default: 3. */
  readonly times?: number | undefined
  /**
   * The pause before another attempt, in milliseconds, or a function that is called with the number of the attempt that
   * failed, from 1, and its error. Default: 0, which is no pause.
   */
  readonly delay?: number | ((attempt: number, error: unknown) => number) | undefined
  /** Whether another attempt makes sense after this error. Default: always. */
  readonly when?: ((error: unknown, attempt: number) => boolean) | undefined
  /** Ends the pause, and allows no further attempt. Its reason is thrown. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Calls `fn` until it does not throw, and returns its result. When no attempt is left, the last error is thrown.
 *
 * There is no other attempt in a greenlet that was killed, nor after the deadline of a `timeout()` or of a server's request
 * in which `retry` was called, whatever error `fn` has made of that. A `timeout()` inside of `fn` is a deadline for each
 * attempt.
 *
 * On main it works while it neither has to pause nor to wait.
 *
 * @example
 * ```js
 * const load = (attempt) => {
 *   if (attempt < 3) throw new Error('busy')
 *   return `attempt ${attempt}`
 * }
 * await spawn(() => retry(load, { delay: 1 })) // 'attempt 3'
 * ```
 *
 * @param fn is called with the number of the attempt, from 1. It may be async; its promise is waited for then
 * @throws any error of `fn`; the reason of the signal
 * @throws GreenletError `ERR_GREENLET_WAIT_ON_MAIN`
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
 */
export function retry<T>(fn: (attempt: number) => T, options?: RetryOptions): Awaited<T> {
  checkFunction('retry()', fn)
  const { times = 3, delay = 0, when, signal } = optionsOf('retry()', options, ['times', 'delay', 'when', 'signal'])
  checkCount('the option times of retry()', times, 1, true)
  if (typeof delay !== 'function') checkTime('the option delay of retry()', delay)
  if (when !== undefined) checkFunction('the option when of retry()', when)
  for (let attempt = 1; ; attempt++) {
    checkLimits('retry()', { signal })
    try {
      return finished(fn(attempt))
    } catch (error) {
      if (attempt >= times || isExit(error) || hasToEnd()) throw error
      if (when !== undefined && !when(error, attempt)) throw error
      const pause = typeof delay === 'function' ? delay(attempt, error) : delay
      checkTime('the option delay of retry()', pause)
      if (pause > 0) sleep(pause, { signal })
    }
  }
}

/** Whether the current greenlet was killed, or had to be done by now. Its code may have thrown another error because of that. */
function hasToEnd(): boolean {
  const { current } = Greenlet
  return current.ending || expired.has(current) || isPastDeadline()
}
