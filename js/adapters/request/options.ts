/**
 * The options of `greenlets()`, which are the same for each framework.
 */

import { rangeError, typeError } from '../../common/errors.ts'
import { checkOptions as checkNames, LONGEST_MS } from '../../common/options.ts'
import { describe } from '../../common/values.ts'

/**
 * The options of `greenlets()`. Each may be left out, or undefined.
 *
 * @example
 * ```js
 * const middleware = greenlets({ timeout: 30_000, limit: 1000, grace: 10_000, name: 'shop' })
 * middleware.living.size // 0
 * ```
 */
export interface ServerOptions {
  /**
   * How many milliseconds a request may take, 1 to 2**31 - 1. After that, an error `ERR_GREENLET_TIMEOUT` with the status
   * 503 is thrown where the request waits, and so it goes through the `finally` blocks to the error handlers of the
   * framework. If no greenlet of the request waits, for example after an `await`, the error handlers get it at once.
   * Default: no limit.
   */
  readonly timeout?: number | undefined
  /**
   * How many requests may be handled at once, at least 1. One more is refused before any handler runs, with an error
   * `ERR_GREENLET_LIMIT` that has the status 503 and the header `Retry-After`. Default: no limit.
   */
  readonly limit?: number | undefined
  /**
   * How many milliseconds a request may take to end, 0 to 2**31 - 1: after `close()` was called, before its greenlets are
   * killed; after its timeout, likewise; and after a kill, before that is reported and its greenlets are killed again.
   * Default: 5000.
   */
  readonly grace?: number | undefined
  /** Comes before the name of each greenlet: with `'shop'`, a greenlet has the name `shop GET /orders/7`. */
  readonly name?: string | undefined
}

/**
 * The options of `close()`.
 *
 * @example
 * ```js
 * const middleware = greenlets()
 * await middleware.close({ grace: 100 })
 * ```
 */
export interface CloseOptions {
  /** How many milliseconds the requests get, 0 to 2**31 - 1, before they are killed. Default: the `grace` of `greenlets()`. */
  readonly grace?: number | undefined
}

const DEFAULT_GRACE_MS = 5000
const KNOWN: readonly (keyof ServerOptions)[] = ['timeout', 'limit', 'grace', 'name']

/** Checked options. */
export interface Checked {
  readonly timeout: number | undefined
  readonly limit: number | undefined
  readonly grace: number
  readonly name: string | undefined
}

/**
 * @param more the names of other options that the adapter has, which it checks by itself
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
 */
export function checkOptions(options: unknown, more: readonly string[] = []): Checked {
  const known = [...KNOWN, ...more] as typeof KNOWN
  const given = options === undefined ? {} : checkNames<ServerOptions>('greenlets()', options, known)
  const { timeout, limit, grace = DEFAULT_GRACE_MS, name } = given
  checkNumber('timeout', timeout, 1, LONGEST_MS)
  checkNumber('limit', limit, 1, Number.MAX_SAFE_INTEGER)
  checkNumber('grace', grace, 0, LONGEST_MS)
  if (name !== undefined && typeof name !== 'string') {
    throw typeError(`the name of greenlets() must be a string, not ${describe(name)}`)
  }
  return { timeout, limit, grace, name }
}

/** The grace of `close()`, in milliseconds. */
export function checkClose(options: unknown, otherwise: number): number {
  const given = options === undefined ? {} : checkNames<CloseOptions>('close()', options, ['grace'])
  const { grace = otherwise } = given
  checkNumber('grace', grace, 0, LONGEST_MS)
  return grace
}

function checkNumber(name: string, value: unknown, least: number, most: number): void {
  if (value === undefined) return
  if (typeof value !== 'number' || Number.isNaN(value))
    throw typeError(`${name} must be a number, not ${describe(value)}`)
  if (value >= least && value <= most && (name !== 'limit' || Number.isInteger(value))) return
  const hint = value === 0 ? `; leave it out for no ${name}` : ''
  throw rangeError(
    `${name} must be ${name === 'limit' ? 'an integer ' : ''}from ${least} to ${most}, not ${value}${hint}`,
  )
}
