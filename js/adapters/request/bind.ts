/**
 * `bind()` of the adapters: callbacks and listeners of a request that may `wait()`.
 */

import { typeError } from '../../common/errors.ts'
import { describe } from '../../common/values.ts'
import { bind as bindAnywhere, Greenlet } from '../../engine.ts'
import { type RequestGreenlets, requestOf } from './request.ts'

type Callback<This, Args extends unknown[], Result> = (this: This, ...args: Args) => Result

/**
 * The type of `bind()`, which takes a function, or a request and a function.
 *
 * @example
 * ```js
 * import express from 'express'
 * const app = express()
 * app.use(greenlets())
 * app.get('/', async (req, res) => {
 *   await null
 *   setImmediate(bind(req, () => sleep(10))) // after an await, it has to be told the request
 *   res.on('close', bind(req, () => sleep(10)))
 * })
 * ```
 *
 * @typeParam Owner what stands for the request in the framework
 */
export interface Bind<Owner> {
  <This, Args extends unknown[], Result>(
    fn: (this: This, ...args: Args) => Result,
  ): (this: This, ...args: Args) => Result | undefined
  <This, Args extends unknown[], Result>(
    request: Owner,
    fn: (this: This, ...args: Args) => Result,
  ): (this: This, ...args: Args) => Result | undefined
}

/** Makes the `bind` of an adapter. */
export function makeBind<Owner extends object>(
  requestOfOwner: (owner: Owner) => RequestGreenlets | undefined,
): Bind<Owner> {
  return (...given: readonly unknown[]) => {
    const fn = given.at(-1)
    if (typeof fn !== 'function') throw typeError(`bind() takes a function, not ${describe(fn)}`)
    const request = given.length === 1 ? requestOf(Greenlet.current) : requestOfOwner(given[0] as Owner)
    if (request !== undefined) return bindTo(request, fn as Callback<unknown, unknown[], never>)
    if (given.length === 1) return bindAnywhere(fn as Callback<unknown, unknown[], never>)
    throw typeError('bind(req, fn) takes a request that greenlets() has seen')
  }
}

/** As `request.bind(fn)`, with the name and the length of `fn`. */
export function bindTo<This, Args extends unknown[], Result>(
  request: RequestGreenlets,
  fn: Callback<This, Args, Result>,
): Callback<This, Args, Result | undefined> {
  return Object.defineProperties(request.bind(fn), {
    name: { configurable: true, value: fn.name },
    // Some libraries count the parameters.
    length: { configurable: true, value: fn.length },
  })
}
