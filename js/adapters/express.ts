/**
 * `greenlets/express`: runs the handlers of an Express app, 5 or 4, in greenlets.
 *
 * ```js
 * import express from 'express'
 * import { wait } from 'greenlets'
 * import { greenlets } from 'greenlets/express'
 *
 * const app = express()
 * app.use(greenlets())
 * app.get('/orders/:id', (req, res) => res.json(loadOrder(req.params.id))) // may wait(), however deep
 * ```
 *
 * This module does not import Express. It finds everything through the app of the first request.
 */

import type { IncomingMessage, ServerResponse } from 'node:http'
import { typeError } from '../common/errors.ts'
import type { Greenlet } from '../engine.ts'
import { Chain, chainOf, defineGreenlet, type Request } from './express/chain.ts'
import { patchRouterOf } from './express/router.ts'
import { type Bind, makeBind } from './request/bind.ts'
import type { UnavailableError } from './request/errors.ts'
import type { ServerOptions } from './request/options.ts'
import { type ServerControl, ServerGreenlets } from './request/server.ts'

export type { Bind } from './request/bind.ts'
export type { CloseOptions, ServerOptions } from './request/options.ts'
export type { ServerControl } from './request/server.ts'

declare global {
  // Express' types are meant to be extended in this way.
  // oxlint-disable-next-line no-namespace
  namespace Express {
    interface Request {
      /** The greenlet that runs for this request, or that ran last; see `greenlets()`. */
      readonly greenlet: Greenlet
    }
  }
}

/**
 * What `app.use()` takes; it also has `living` and `close()`.
 *
 * @example
 * ```js
 * const middleware = greenlets()
 * middleware.length // 3
 * ```
 */
export interface Middleware extends ServerControl {
  (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void): void
}

/**
 * Makes a middleware. Everything that Express calls for a request after it (middleware, routes, `param()` callbacks,
 * error handlers, also in nested routers and mounted apps) runs in a greenlet of that request, `req.greenlet`, and so
 * it may `wait()`. An error that a handler throws after a wait goes to the error handlers as usual.
 *
 * - If a handler calls `next()` later, from a callback of the event loop, a new greenlet runs the next handlers.
 * - `async` handlers work as usual. They can `wait()` until their first `await`.
 * - When the client disconnects before it has its answer, its greenlets are killed, and no more handlers run for it.
 *   Errors go to the error handlers even then. A `GreenletExit` does not, unless the client is still connected: the
 *   answer is 503.
 * - When there is no stack slot left, the request fails with the `GreenletError`, which has the status 503.
 * - With `timeout`, the error handlers get a `GreenletError` `ERR_GREENLET_TIMEOUT`, with the status 503, for a request that
 *   is not answered in time. It is thrown where the request waits. If nothing of it waits in a greenlet, for example after
 *   an `await`, what its handlers do later is ignored, also their errors.
 * - With `limit`, the error handlers get a `GreenletError` `ERR_GREENLET_LIMIT`, with the status 503, for each request that
 *   is too much.
 *
 * May be used again for a part of the app, with options of its own: both deadlines and both limits hold there.
 *
 * In an app that is not of Express 5 or 4, each request fails with a TypeError `ERR_GREENLET_INVALID_ARG`.
 *
 * @example
 * ```js
 * import express from 'express'
 * const app = express()
 * const middleware = greenlets({ timeout: 10_000, limit: 500 })
 * app.use(middleware)
 * app.get('/', (req, res) => {
 *   sleep(10) // blocks this request, and no other
 *   res.send(`served by ${req.greenlet.name}`)
 * })
 * // At the end:
 * await middleware.close()
 * ```
 *
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`, for example for an unknown option
 * @throws UnsupportedRuntimeError where greenlets do not work
 */
export function greenlets(options?: ServerOptions): Middleware
export function greenlets(...given: readonly unknown[]): Middleware {
  const [options] = given
  if (given.length > 1) {
    throw typeError('greenlets() takes options only; write app.use(greenlets()), with parentheses')
  }
  const server = new ServerGreenlets(options)
  /** The app of which all requests have the property `greenlet`. */
  let done: unknown
  const middleware = function greenlets(req: Request, res: ServerResponse, next: (error?: unknown) => void): void {
    patchRouterOf(req.app)
    const outer = chainOf(req)
    if (outer !== undefined) {
      next(answerLater(res, outer.greenlets.join(server)))
      return
    }
    if (req.app !== done && defineGreenlet(req)) done = req.app
    const chain = new Chain(server, req, res)
    chain.follow(next)(answerLater(res, chain.refusal))
  }
  return server.control(middleware)
}

export { blocking } from '../engine.ts'
export { greenlets as default }

/**
 * Makes a callback or listener of a request that may `wait()`: it calls `fn` in a greenlet of the request that runs now, or
 * of `req`. Where no greenlet of a request runs, it is the `bind()` of `greenlets`. That greenlet is killed with the others of the request. The callback returns what `fn` returns, or undefined if
 * `fn` has to wait. An error goes to the error handlers, or becomes a warning where the answer has begun.
 *
 * @example
 * ```js
 * import express from 'express'
 * const app = express()
 * app.use(greenlets())
 * app.get('/', (req, res) => {
 *   res.on('finish', bind(() => sleep(10))) // without bind(), sleep() would throw: the event loop calls this
 *   res.send('hello')
 * })
 * ```
 *
 * @throws TypeError `ERR_GREENLET_INVALID_ARG` if `fn` is not a function, or `req` is not a request of this server
 */
export const bind: Bind<IncomingMessage> = makeBind((req) => chainOf(req)?.greenlets)

/** An error handler of the program may not look at the headers of the error. */
function answerLater(res: ServerResponse, refusal: UnavailableError | undefined): UnavailableError | undefined {
  if (refusal !== undefined && !res.headersSent) {
    for (const [name, value] of Object.entries(refusal.headers)) res.setHeader(name, value)
  }
  return refusal
}
