/**
 * `exclusive()`: a library that is not made for two greenlets inside of it is entered by one at a time.
 */

import { typeError } from '../common/errors.ts'
import { describe } from '../common/values.ts'
import { Lock } from './lock.ts'

type Callable = (...args: never[]) => unknown

/**
 * Makes a function, or all methods of an object, exclusive: one greenlet at a time is inside, and the others wait, in the
 * order in which they came. The greenlet that is inside may call again, as a callback of a library does. It is the remedy
 * for libraries that keep state in variables while they call back; see [hazards](../../docs/hazards.md).
 *
 * What it returns stands for `target`: a function has the same `this`, `name` and `length`, and can be called with `new`;
 * an object has the same properties. The methods of one object share one lock, and are called on the object itself, so
 * calls between them and private fields work. Properties that are not functions, getters, and objects that a
 * method returns are not protected. If a function returns a promise, the greenlet waits for it inside, and the call
 * returns its value.
 *
 * On main, a call works while no greenlet is inside; else it throws `ERR_GREENLET_WAIT_ON_MAIN`.
 *
 * @example
 * ```js
 * let [inside, most] = [0, 0]
 * const render = exclusive((name) => {
 *   most = Math.max(most, ++inside)
 *   sleep(1)
 *   inside--
 *   return `<p>${name}</p>`
 * })
 * await Promise.all([spawn(render, 'Ada'), spawn(render, 'Grace')]) // [ '<p>Ada</p>', '<p>Grace</p>' ]
 * most // 1
 * ```
 *
 * @param target a function or an object
 * @param lock the lock to use, where several functions or objects must not run at the same time. Default: a new one,
 *   `new Lock({ reentrant: true })`
 * @throws TypeError `ERR_GREENLET_INVALID_ARG`
 */
export function exclusive<T extends object>(target: T, lock: Lock = new Lock({ reentrant: true })): T {
  if (!(lock instanceof Lock)) throw typeError(`exclusive() takes a Lock as its second argument, not ${describe(lock)}`)
  if (typeof target === 'function') return exclusiveFunction(target as unknown as Callable, lock) as unknown as T
  if (typeof target === 'object' && target !== null) return exclusiveObject(target, lock)
  throw typeError(`exclusive() takes a function or an object, not ${describe(target)}`)
}

/** @param receiver in place of `stands`, which stands for it, as `this` */
function exclusiveFunction(fn: Callable, lock: Lock, receiver?: object, stands?: () => object): Callable {
  const proxy: Callable = new Proxy(fn, {
    apply: (_, self: unknown, args) =>
      lock.run((): unknown => Reflect.apply(fn, stands !== undefined && self === stands() ? receiver : self, args)),
    construct: (_, args, kind) => {
      let made: object | undefined
      // Not as the result of `run`, which waits for a promise.
      lock.run(() => {
        made = Reflect.construct(fn, args, kind === proxy ? fn : kind) as object
      })
      return made!
    },
  })
  return proxy
}

function exclusiveObject<T extends object>(target: T, lock: Lock): T {
  /** So that a method is the same one each time. */
  const methods = new WeakMap<object, Callable>()
  const proxy: T = new Proxy(target, {
    get(_, key) {
      const value: unknown = Reflect.get(target, key)
      if (typeof value !== 'function' || key === 'constructor') return value
      checkReplaceable(target, key)
      let method = methods.get(value)
      if (method === undefined) {
        method = exclusiveFunction(value as Callable, lock, target, () => proxy)
        methods.set(value, method)
      }
      return method
    },
    // On the object itself, where setters may use private fields.
    set: (_, key, value) => Reflect.set(target, key, value),
  })
  return proxy
}

/** A property that cannot change must be read as it is, so it could not be protected. */
function checkReplaceable(target: object, key: string | symbol): void {
  const property = Object.getOwnPropertyDescriptor(target, key)
  if (property === undefined || property.configurable === true || property.writable === true) return
  throw typeError(
    `exclusive() cannot protect the method '${String(key)}' of a frozen object: wrap it alone, as exclusive(object.${String(key)})`,
  )
}
