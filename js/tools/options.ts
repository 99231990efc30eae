/**
 * Checks for the arguments of the tools. A wrong argument is a TypeError or RangeError `ERR_GREENLET_INVALID_ARG`.
 */

import { rangeError, typeError } from '../common/errors.ts'
import { checkOptions, LONGEST_MS } from '../common/options.ts'
import { describe, isInstance } from '../common/values.ts'
import { reasonOf } from '../engine.ts'

/**
 * When a tool gives up waiting. Each option may be left out, or undefined.
 *
 * @example
 * ```js
 * const limits = { timeout: 5, signal: new AbortController().signal }
 * await spawn(() => {
 *   try {
 *     new Event().wait(limits)
 *   } catch (error) {
 *     console.log(error.code) // ERR_GREENLET_TIMEOUT
 *   }
 * })
 * ```
 */
export interface Limits {
  /** After so many milliseconds, 0 to 2**31 - 1, the wait ends with a `TimeoutError`. */
  readonly timeout?: number | undefined
  /** The wait ends as soon as it is aborted, and throws its `reason`. */
  readonly signal?: AbortSignal | undefined
}

/** As `checkOptions`; undefined counts as no options. */
export function optionsOf<T extends object>(
  of: string,
  options: T | undefined,
  known: readonly (keyof T & string)[],
): Partial<T> {
  return options === undefined ? {} : checkOptions<T>(of, options, known)
}

/** Checks the limits of a wait, also where the wait will not be needed. Throws the reason of a signal that is aborted. */
export function checkLimits(of: string, limits: Limits | undefined): void {
  const { timeout, signal } = optionsOf(of, limits, ['timeout', 'signal'])
  if (timeout !== undefined) checkTime(`the timeout of ${of}`, timeout)
  if (signal === undefined) return
  if (!isInstance(signal, AbortSignal))
    throw typeError(`the signal of ${of} must be an AbortSignal, not ${describe(signal)}`)
  if (signal.aborted) throw reasonOf(signal)
}

/** Checks a time in milliseconds. */
export function checkTime(what: string, ms: unknown): void {
  if (typeof ms !== 'number' || Number.isNaN(ms)) throw typeError(`${what} is in milliseconds, not ${describe(ms)}`)
  if (ms < 0 || ms > LONGEST_MS) throw rangeError(`${what} must be 0 to ${LONGEST_MS} milliseconds, not ${ms}`)
}

/** Checks a whole number from `least` on; Infinity only where `endless`. */
export function checkCount(what: string, count: unknown, least: number, endless = false): void {
  if (typeof count !== 'number') throw typeError(`${what} is a number, not ${describe(count)}`)
  if ((Number.isSafeInteger(count) && count >= least) || (endless && count === Infinity)) return
  throw rangeError(`${what} must be a whole number from ${least} on${endless ? ', or Infinity' : ''}, not ${count}`)
}

/** Checks that `fn` can be called. */
export function checkFunction(of: string, fn: unknown): void {
  if (typeof fn !== 'function') throw typeError(`${of} takes a function, not ${describe(fn)}`)
}
