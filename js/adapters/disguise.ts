/**
 * For the adapters that replace the functions of a program by wrappers: makes the wrapper look like the function.
 */

/**
 * Gives `wrapper` the name, the length and the other own properties of `original`, because frameworks and their plugins
 * look at these. Returns `wrapper`.
 */
export function disguised<F extends (...args: never[]) => unknown>(wrapper: F, original: object): F {
  for (const key of Reflect.ownKeys(original)) {
    // A function that is not strict has its own of these.
    if (key === 'prototype' || key === 'arguments' || key === 'caller') continue
    Object.defineProperty(wrapper, key, Object.getOwnPropertyDescriptor(original, key)!)
  }
  return wrapper
}
