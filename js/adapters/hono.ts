/**
 * `greenlets/hono`: runs the handlers of a Hono app in greenlets.
 *
 * ```js
 * import { Hono } from 'hono'
 * import { wait } from 'greenlets'
 * import { greenlets } from 'greenlets/hono'
 *
 * const app = new Hono()
 * app.use(greenlets())
 * app.get('/orders/:id', (c) => c.json(loadOrder(c.req.param('id')))) // may wait(), however deep
 * ```
 *
 * This module does not import Hono. Hono has no hook for the call of a handler, but it looks each handler up in the list
 * of those that match, as it goes along that list. `greenlets()` replaces the ones after it by wrappers, once.
 */

import type { Context, MiddlewareHandler } from 'hono'
import { typeError } from '../common/errors.ts'
import type { Greenlet } from '../engine.ts'
import { type Bind, makeBind } from './request/bind.ts'
import type { ServerOptions } from './request/options.ts'
import type { UnavailableError } from './request/errors.ts'
import { RequestGreenlets, type Response as NodeResponse, type Source } from './request/request.ts'
import { type ServerControl, ServerGreenlets } from './request/server.ts'
import { enteredBy, rules } from './web.ts'

export { blocking } from '../engine.ts'
export type { Bind } from './request/bind.ts'
export type { CloseOptions, ServerOptions } from './request/options.ts'
export type { ServerControl } from './request/server.ts'

declare module 'hono' {
  interface ContextVariableMap {
    /** The greenlet that runs for this request, or that ran last; see `greenlets()`. */
    greenlet: Greenlet
  }
}

type Next = () => Promise<void>
type Handler = (c: Context, next: Next) => unknown
/** What matches a request: for each handler the pair of it and its route, and its parameters. */
type Match = readonly [readonly (readonly [[Handler, unknown], unknown])[]]

const requests = new WeakMap<Context, RequestGreenlets>()
const wrappers = new WeakSet<Handler>()

/**
 * Makes a middleware. Every handler and middleware that matches a request after it runs in a greenlet of that request,
 * `c.var.greenlet`, and so it may `wait()`. An error that it throws after a wait goes to `app.onError()`, as usual.
 *
 * - With `timeout`, a request that is not answered in time fails with a GreenletError `ERR_GREENLET_TIMEOUT`, thrown where it
 *   waits. With `limit`, one that is too much is refused with `ERR_GREENLET_LIMIT` before any handler runs. Both errors have
 *   the status 503.
 * - When the client disconnects, the greenlets of its request are killed where they wait, and no more handlers run for it.
 *   A GreenletExit goes to error handlers only while the client waits, and then has the status 503.
 *
 * @example
 * ```js
 * import { Hono } from 'hono'
 * import { greenlets } from 'greenlets/hono'
 * const app = new Hono()
 * app.use(greenlets())
 * app.get('/', (c) => {
 *   sleep(10) // blocks this request, and no other
 *   return c.text(`served by ${c.var.greenlet.name}`)
 * })
 * ```
 *
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`, for example for an unknown option
 * @throws UnsupportedRuntimeError where greenlets do not work
 */
export function greenlets(options?: ServerOptions): MiddlewareHandler & ServerControl {
  const server = new ServerGreenlets(options)
  const middleware: MiddlewareHandler = async function greenlets(c, next) {
    const outer = requests.get(c)
    if (outer !== undefined) {
      // It is in this app twice, or in an app in this app.
      const refusal = outer.join(server)
      if (refusal !== undefined) throw answering(refusal)
      return next()
    }
    wrapFollowers(c)
    const source = sourceOf(c)
    const request = new RequestGreenlets(server, `${c.req.method} ${c.req.path}`, rules, source)
    requests.set(c, request)
    try {
      if (request.refusal !== undefined) throw answering(request.refusal)
      await next()
    } finally {
      if (source.response === undefined) request.end()
    }
  }
  return server.control(middleware)
}

/** What tells that the client has left: the response of @hono/node-server, else the signal of the request. */
function sourceOf(c: Context): Source {
  const { outgoing } = (c.env ?? {}) as { outgoing?: NodeResponse }
  return outgoing === undefined ? { signal: c.req.raw.signal } : { response: outgoing }
}

/** Hono answers with what an error's `getResponse()` gives, if the app has no `onError`. */
function answering(error: UnavailableError): UnavailableError {
  const { message, status, headers } = error
  return Object.assign(error, { getResponse: () => new Response(message, { status, headers }) })
}

/** Wraps the handlers that are called after the running one. Other requests may share the list. */
function wrapFollowers(c: Context): void {
  const [matches] = matchOf(c)
  for (const [pair] of matches.slice(c.req.routeIndex + 1)) {
    if (!wrappers.has(pair[0])) pair[0] = wrapped(pair[0])
  }
}

/** @throws TypeError if it is not a request of Hono 4 */
function matchOf({ req }: Context): Match {
  for (const key of Object.getOwnPropertySymbols(Object.getPrototypeOf(req))) {
    const value = (req as unknown as Record<symbol, unknown>)[key]
    if (isMatch(value)) return value
  }
  throw typeError('greenlets() is for Hono 4, and did not find the list of handlers that match this request')
}

function isMatch(value: unknown): value is Match {
  if (!Array.isArray(value) || !Array.isArray(value[0])) return false
  return value[0].every((entry) => Array.isArray(entry?.[0]) && typeof entry[0][0] === 'function')
}

function wrapped(handler: Handler): Handler {
  const wrapper = enteredBy(handler, requestOf, show)
  wrappers.add(wrapper)
  return wrapper
}

function requestOf(c: Context): RequestGreenlets | undefined {
  return requests.get(c)
}

function show(c: Context, greenlet: Greenlet): void {
  c.set('greenlet', greenlet)
}

export { greenlets as default }

/**
 * Makes a callback or listener of a request that may `wait()`: it calls `fn` in a greenlet of the request that runs now, or
 * of `c`. That greenlet is killed with the others of the request. The callback returns what `fn` returns, or undefined if
 * `fn` has to wait. An error becomes a warning, and ends the answer if that has begun.
 *
 * @example
 * ```js
 * import { Hono } from 'hono'
 * import { bind, greenlets } from 'greenlets/hono'
 * const app = new Hono()
 * app.use(greenlets())
 * app.get('/', (c) => {
 *   setTimeout(bind(() => sleep(10)), 5) // without bind(), sleep() would throw: the event loop calls this
 *   return c.text('hello')
 * })
 * ```
 *
 * @throws TypeError `ERR_GREENLET_INVALID_ARG` if `fn` is not a function, or the request is none that greenlets() has seen
 */
export const bind: Bind<Context> = makeBind(requestOf)
