/**
 * Replaces methods of Node.js.
 */

export type Method = (this: unknown, ...args: unknown[]) => unknown
export type Methods = Record<string | symbol, Method>

/**
 * Replaces a method by a wrapper that has the same name, length and property attributes. Does nothing where there is no
 * such method, or where it cannot be replaced, as on frozen objects.
 */
export function replace(owner: Methods, key: string | symbol, wrap: (method: Method) => Method): void {
  const descriptor = Object.getOwnPropertyDescriptor(owner, key)
  const method: unknown = owner[key]
  if (typeof method !== 'function' || (descriptor?.configurable ?? Object.isExtensible(owner)) !== true) return
  const wrapper = wrap(method as Method)
  const { name, length } = method
  Object.defineProperties(wrapper, { name: { value: name }, length: { value: length } })
  Object.defineProperty(owner, key, { configurable: true, writable: true, ...descriptor, value: wrapper })
}

/** Replaces several methods; see {@link replace}. */
export function replaceEach(owner: Methods, keys: readonly (string | symbol)[], wrap: Wrap): void {
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!
    const name = typeof key === 'symbol' ? `[${key.description}]` : key
    replace(owner, key, (method) => wrap(method, name))
  }
}

/** Makes the wrapper of a method from the method and its name. */
type Wrap = (method: Method, name: string) => Method
