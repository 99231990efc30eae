/**
 * Questions about unknown values. None of these functions throws, also where the value is a Proxy or has getters that
 * throw.
 */

const { isArray } = Array

/** Describes a wrong argument in a word or two, for messages that end with "..., not ...". */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'string') return value.length > 30 ? 'a string' : `'${value}'`
  if (isRevoked(value)) return 'a Proxy that is revoked'
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

/** The text of a value that was thrown. */
export function textOf(thrown: unknown): string {
  try {
    return String(thrown)
  } catch {
    return describe(thrown)
  }
}

/** Whether it is a Proxy that is revoked: each use of it throws an error of V8. */
export function isRevoked(value: unknown): boolean {
  try {
    // It calls no trap.
    isArray(value)
    return false
  } catch {
    return true
  }
}

/** The name of a function; undefined where the property is missing, empty, not a string, or throws. */
export function nameOf(fn: unknown): string | undefined {
  if (fn === undefined || fn === null) return undefined
  try {
    const { name } = fn as { name?: unknown }
    return typeof name === 'string' && name !== '' ? name : undefined
  } catch {
    return undefined
  }
}

/** As `instanceof`. */
export function isInstance<T>(value: unknown, kind: abstract new (...args: never[]) => T): value is T {
  try {
    return value instanceof kind
  } catch {
    return false
  }
}

/** V8's own `Promise`, also where the program has put another one, such as bluebird's, into its place. */
export const NativePromise = (async () => {})().constructor as PromiseConstructor
