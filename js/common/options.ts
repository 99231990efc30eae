/**
 * Checks that an options object has only options that exist. A wrong name is refused, because it would do nothing, and
 * the program would not notice.
 */

import { typeError } from './errors.ts'
import { describe, isRevoked } from './values.ts'

/** The longest time that Node.js' timers take, in milliseconds. */
export const LONGEST_MS = 2 ** 31 - 1

/**
 * Returns `options`, which must be an object that has no other own keys than the `known` ones.
 *
 * @param of what the options belong to, for the message: `sleep()`
 * @throws TypeError `ERR_GREENLET_INVALID_ARG`
 */
export function checkOptions<T extends object>(
  of: string,
  options: unknown,
  known: readonly (keyof T & string)[],
): Partial<T> {
  if (typeof options !== 'object' || options === null) {
    throw typeError(`the options of ${of} are an object, not ${describe(options)}`)
  }
  return refuseUnknown<T>(of, options, known)
}

/** As {@link checkOptions}, for an object. */
export function refuseUnknown<T extends object>(
  of: string,
  options: object,
  known: readonly (keyof T & string)[],
): Partial<T> {
  if (isRevoked(options)) throw typeError(`the options of ${of} are an object, not ${describe(options)}`)
  const keys = Object.keys(options)
  // Not an iterator, which a program may have replaced.
  for (let i = 0; i < keys.length; i++) {
    if (known.includes(keys[i] as never)) continue
    throw typeError(`${of} has no option '${keys[i]}'; it has ${known.join(', ')}`)
  }
  return options
}
