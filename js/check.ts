/**
 * What arguments must be. Wrong ones are TypeErrors and RangeErrors with the code `ERR_GREENLET_INVALID_ARG`.
 */

import { AsyncResource } from 'node:async_hooks'
import type { GreenletErrorCode } from './errors.ts'
import type { Run } from './inner.ts'

/** The longest that Node.js' timers take. */
const LONGEST_SLEEP_MS = 2 ** 31 - 1

/** A TypeError with a code. */
export function typeError(message: string, code: GreenletErrorCode = 'ERR_GREENLET_INVALID_ARG'): TypeError {
  return Object.assign(new TypeError(message), { code })
}

/** A RangeError with a code. */
export function rangeError(message: string): RangeError {
  return Object.assign(new RangeError(message), { code: 'ERR_GREENLET_INVALID_ARG' })
}

/** What a wrong argument is, in a word or two, for "..., not ...". Never throws, also where `value` is a Proxy that does. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'string') return value.length > 30 ? 'a string' : `'${value}'`
  if (typeof value === 'function') {
    const name = nameOf(value)
    return name === undefined ? 'a function' : `the function ${name}`
  }
  if (typeof value !== 'object') return `the ${typeof value} ${String(value)}`
  try {
    const kind: unknown = Object.getPrototypeOf(value)?.constructor?.name
    return typeof kind === 'string' && kind !== '' ? `an instance of ${kind}` : 'an object'
  } catch {
    return 'an object'
  }
}

/** The name of a function, if it has one: the property can be anything, and throw. */
export function nameOf(fn: unknown): string | undefined {
  try {
    const { name } = fn as { name?: unknown }
    return typeof name === 'string' && name !== '' ? name : undefined
  } catch {
    return undefined
  }
}

/** `instanceof` that never throws, also where `value` is a Proxy that does. */
export function isInstance<T>(value: unknown, kind: abstract new (...args: never[]) => T): value is T {
  try {
    return value instanceof kind
  } catch {
    return false
  }
}

export function checkRun(run: unknown): Run | null | undefined {
  if (run === null || run === undefined || typeof run === 'function') return run as Run | null | undefined
  throw typeError(`a greenlet runs a function, not ${describe(run)}`)
}

export function checkContext(context: unknown): AsyncResource | null {
  if (context === null) return null
  // An object that only has the prototype has no id.
  if (context instanceof AsyncResource && Number.isSafeInteger(context.asyncId())) return context
  throw typeError(`greenlet context must be an AsyncResource or null, not ${describe(context)}`)
}

export function checkName(name: unknown): string {
  if (typeof name === 'string') return name
  throw typeError(`the name of a greenlet must be a string, not ${describe(name)}`)
}

export function checkMilliseconds(ms: unknown): void {
  if (typeof ms !== 'number' || Number.isNaN(ms)) throw typeError(`sleep() takes milliseconds, not ${describe(ms)}`)
  if (ms >= 0 && ms <= LONGEST_SLEEP_MS) return
  throw rangeError(`sleep() takes 0 to ${LONGEST_SLEEP_MS} milliseconds, not ${ms}`)
}

/** One of the numbers of `configure()`. */
export function checkCount(name: string, count: unknown, most: number): void {
  if (count === undefined) return
  if (typeof count !== 'number' || Number.isNaN(count)) {
    throw typeError(`${name} must be a number, not ${describe(count)}`)
  }
  if (Number.isInteger(count) && count >= 1 && count <= most) return
  throw rangeError(`${name} must be an integer from 1 to ${most}, not ${count}`)
}

export function checkSignal(
  options: { readonly signal?: AbortSignal | undefined } | undefined,
): AbortSignal | undefined {
  if (options === undefined) return undefined
  if (typeof options !== 'object' || options === null) {
    throw typeError(`the options of sleep() are an object, not ${describe(options)}`)
  }
  const { signal } = options
  if (signal === undefined || isInstance(signal, AbortSignal)) return signal
  throw typeError(`the signal of sleep() must be an AbortSignal, not ${describe(signal)}`)
}
