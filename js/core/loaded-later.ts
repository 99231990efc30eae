/**
 * Reaches internal modules of Node.js that a program may load later, without loading them: their prototypes inherit from
 * `Stream.prototype`, so a method that such a module assigns to its prototype calls a setter there.
 */

import { Stream } from 'node:stream'

const { moduleLoadList } = process as unknown as { moduleLoadList?: readonly string[] }

/** Whether Node.js has loaded the internal module. True where it does not tell. */
export function isLoaded(module: string): boolean {
  return moduleLoadList?.includes(`NativeModule ${module}`) ?? true
}

/**
 * Calls `then` once, with the prototype to which a method of this name is assigned.
 *
 * @param isIt whether the assignment is the one that is meant
 */
export function whenAssigned(method: string, isIt: () => boolean, then: (prototype: object) => void): void {
  Reflect.defineProperty(Stream.prototype, method, {
    configurable: true,
    get: () => undefined,
    set(this: object, value: unknown) {
      Object.defineProperty(this, method, { configurable: true, enumerable: true, writable: true, value })
      if (!isIt()) return
      Reflect.deleteProperty(Stream.prototype, method)
      then(this)
    },
  })
}
