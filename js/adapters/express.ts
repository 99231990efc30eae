/**
 * `greenlets/express`: runs the handlers of an Express 5 app in greenlets.
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
import type { Greenlet } from '../greenlet/greenlet.ts'
import { Chain, chainOf, type Request } from './express/chain.ts'
import { patchRouterOf } from './express/router.ts'

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
 * What `app.use()` takes.
 *
 * @example
 * ```js
 * const middleware = greenlets()
 * middleware.length // 3
 * ```
 */
export type Middleware = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void

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
 *
 * The middleware throws a TypeError `ERR_GREENLET_INVALID_ARG` in an app that is not of Express 5.
 *
 * @example
 * ```js
 * import express from 'express'
 * const app = express()
 * app.use(greenlets())
 * app.get('/', (req, res) => {
 *   sleep(10) // blocks this request, and no other
 *   res.send(`served by ${req.greenlet.name}`)
 * })
 * ```
 */
export function greenlets(): Middleware
export function greenlets(...given: readonly unknown[]): Middleware {
  if (given.length > 0) throw typeError('greenlets() takes no arguments; write app.use(greenlets()), with parentheses')
  return function greenlets(req: Request, res, next) {
    patchRouterOf(req.app)
    if (chainOf(req) !== undefined) next()
    else new Chain(req, res).follow(next)()
  }
}
