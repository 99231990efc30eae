/**
 * `blocking()` and `bind()`: functions that run in a greenlet wherever they are called, so that they may wait. What
 * `blocking()` makes is for callers that await a promise, what `bind()` makes is for callers that do not.
 */

import { AsyncResource } from 'node:async_hooks'
import { typeError } from '../common/errors.ts'
import { addOwnCode } from '../common/own-code.ts'
import { describe, nameOf } from '../common/values.ts'
import { deliver, endUnstarted, finishEnded } from '../core/lifecycle.ts'
import { type GreenletRecord, UNSTARTED } from '../core/record.ts'
import { thread } from '../core/thread.ts'
import { Greenlet, recordOf } from '../greenlet/greenlet.ts'
import { SpawnedGreenlet, startAtOnce } from './spawn.ts'

/** Where this file's own code begins; see common/own-code.ts. */
function first<T>(probe: () => T): T {
  return probe()
}

type Method<This, Args extends unknown[], R> = (this: This, ...args: Args) => R

/** The type of the resources that `bind()` makes. */
const BOUND = 'GREENLET_BIND'

/**
 * Returns a function that runs `fn` in a new greenlet, so that `fn` may `wait()`, wherever it is called: on main, in a
 * callback, in another greenlet. It returns a plain promise of the result at once, and keeps `this`, the arguments, the
 * name and the length of `fn`. So frameworks can call it in place of an async function: route handlers, resolvers,
 * methods of services, jobs of queues.
 *
 * If main calls it, `fn` starts at once, as an async function does. If a greenlet calls it, the event loop starts `fn` soon,
 * as with `spawn()`, and the caller goes on. The greenlet inherits the async context of the caller. Each call has a
 * greenlet of its own, of which the parent is main.
 *
 * @example
 * ```js
 * class Orders {
 *   constructor(prices) {
 *     this.prices = prices
 *   }
 *   total(...names) {
 *     return names.reduce((sum, name) => sum + wait(this.prices(name)), 0)
 *   }
 * }
 * Orders.prototype.total = blocking(Orders.prototype.total)
 *
 * const orders = new Orders(async (name) => name.length)
 * await orders.total('apple', 'pear') // 9
 * ```
 *
 * @param fn may be async; its promise is waited for then
 * @returns a function of which the promise is rejected with any error of `fn`; with a GreenletError
 *   `ERR_GREENLET_KILLED` if a `GreenletExit` ended the greenlet; with `_LIMIT`, `_NO_SLOT`, `_NO_MEMORY` or `_FORBIDDEN`
 *   if it could not start
 * @throws TypeError `ERR_GREENLET_INVALID_ARG` if `fn` is not a function. The returned function throws an
 *   UnsupportedRuntimeError where greenlets do not work.
 */
export function blocking<This, Args extends unknown[], R>(
  fn: Method<This, Args, R>,
): Method<This, Args, Promise<Awaited<R>>> {
  checkFunction('blocking()', fn)
  return likeFunction(fn, function blocked(this: This, ...args: Args) {
    const run = this === undefined ? fn : (...given: Args) => Reflect.apply(fn, this, given)
    const greenlet = new SpawnedGreenlet<Awaited<R>>(run as Method<unknown, Args, R>, args)
    recordOf(greenlet).label = nameOf(fn)
    startAtOnce(greenlet)
    return greenlet.promise
  })
}

/**
 * Returns a function that runs `fn` in a new greenlet, at once, so that `fn` may `wait()`: for listeners and callbacks,
 * of which the caller does not look at a promise. It keeps `this`, the arguments, the name and the length of `fn`. Each
 * call has a greenlet of its own, of which the parent is main, in the async context in which `bind()` was called.
 *
 * As long as `fn` does not wait, it is as if it were called itself: its result is returned, and its error is thrown, to the
 * caller. At its first wait the caller goes on and gets undefined. Later the result is dropped, and an error is an
 * uncaught exception, as that of any callback of the event loop: catch it in `fn`. A `GreenletExit` ends it quietly.
 *
 * @example
 * ```js
 * import { EventEmitter } from 'node:events'
 * const jobs = new EventEmitter()
 * jobs.on('job', bind((name, done) => {
 *   sleep(5)
 *   done(`${name} is done`)
 * }))
 * await new Promise((resolve) => jobs.emit('job', 'paint', resolve)) // 'paint is done'
 * ```
 *
 * @throws TypeError `ERR_GREENLET_INVALID_ARG` if `fn` is not a function. The returned function throws any error of `fn`
 *   before its first wait; `ERR_GREENLET_LIMIT`, `_NO_SLOT`, `_NO_MEMORY` or `_FORBIDDEN` if it cannot start; and an
 *   UnsupportedRuntimeError where greenlets do not work.
 */
export function bind<This, Args extends unknown[], R>(fn: Method<This, Args, R>): Method<This, Args, R | undefined> {
  checkFunction('bind()', fn)
  const context = new AsyncResource(BOUND)
  return likeFunction(fn, function bound(this: This, ...args: Args) {
    let result: R | undefined
    const body = (): void => {
      result = Reflect.apply(fn, this, args)
    }
    const options = { parent: Greenlet.main, name: nameOf(fn) }
    runAtOnce(recordOf(context.runInAsyncScope(() => new Greenlet(body, options))))
    return result
  })
}

/** Starts a greenlet. Returns when it has ended or waits. Throws the error that it ends with until then. */
function runAtOnce(record: GreenletRecord): void {
  finishEnded()
  const me = thread.current
  // As in `kill()`: until this returns, it takes the place of the parent, and of main while the greenlet is blocked.
  const callers = (record.killers = [me])
  try {
    deliver(record, false, [])
  } catch (error) {
    if (record.state === UNSTARTED) endUnstarted(record, error)
    throw error
  } finally {
    callers.splice(callers.indexOf(me), 1)
    if (callers.length === 0 && record.killers === callers) record.killers = undefined
  }
}

function checkFunction(of: string, fn: unknown): void {
  if (typeof fn !== 'function') throw typeError(`${of} takes a function, not ${describe(fn)}`)
}

/** Gives `wrapper` the name and the length of `fn`: frameworks read both. */
function likeFunction<T extends object>(fn: object, wrapper: T): T {
  copyProperty(fn, wrapper, 'name')
  copyProperty(fn, wrapper, 'length')
  return wrapper
}

function copyProperty(from: object, to: object, key: string): void {
  const property = Object.getOwnPropertyDescriptor(from, key)
  if (property !== undefined) Object.defineProperty(to, key, property)
}

/** Where this file's own code ends. */
function last<T>(probe: () => T): T {
  return probe()
}

addOwnCode(first, last, first, last)
