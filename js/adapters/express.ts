/**
 * `greenlets/express`: the handlers of an Express 5 app in greenlets.
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
 * Express itself is not imported: everything is found through the app of the first request.
 */

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Greenlet } from '../greenlet.ts'
import { Chain, chainOf, type Request } from './express/chain.ts'
import { adopt } from './express/router.ts'

declare global {
  // The way that Express' types are meant to be extended.
  // oxlint-disable-next-line no-namespace
  namespace Express {
    interface Request {
      /** The greenlet that runs for this request, or did last; see `greenlets()`. */
      readonly greenlet: Greenlet
    }
  }
}

/** What `app.use()` takes. */
export type Middleware = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void

/**
 * Makes a middleware. Whatever Express calls for a request after it (middleware, routes, `param()` callbacks, error
 * handlers, in nested routers and mounted apps too) runs in a greenlet of that request, `req.greenlet`, and so may
 * `wait()`. What a handler throws after that goes to the error handlers as ever.
 *
 * - A handler that calls `next()` later, from a callback of the event loop, is followed by a new greenlet.
 * - `async` handlers work as ever: they can `wait()` until their first `await`.
 * - When the client goes away before it has its answer, its greenlets are killed, and nothing more is run for it; errors
 *   go to the error handlers even then. A `GreenletExit` does not, unless the client is still there: the answer is 503.
 * - When there is no stack slot left, the request fails with the `GreenletError`, which has the status 503.
 */
export function greenlets(): Middleware {
  return function greenlets(req: Request, res, next) {
    adopt(req.app)
    if (chainOf(req) !== undefined) next()
    else new Chain(req, res).follow(next)()
  }
}
