/**
 * `greenlets/koa`: runs the middleware of a Koa app in greenlets.
 *
 * ```js
 * import Koa from 'koa'
 * import { wait } from 'greenlets'
 * import { greenlets } from 'greenlets/koa'
 *
 * const app = new Koa()
 * app.use(greenlets())
 * app.use((ctx) => { ctx.body = loadOrder(ctx.query.id) }) // may wait(), however deep
 * ```
 *
 * This module does not import Koa. It finds everything through the app of the first request. Koa has no hook for the call
 * of a middleware, and it composes copies of them when it starts to listen. So `greenlets()` composes the middleware that
 * follow it once more, each one wrapped, and calls these instead of `next()`.
 */

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Middleware } from 'koa'
import { type Greenlet, GreenletExit, isExit } from '../engine.ts'
import { disguised } from './disguise.ts'
import { type Bind, makeBind } from './request/bind.ts'
import type { ServerOptions } from './request/options.ts'
import { RequestGreenlets, type Rules } from './request/request.ts'
import { type ServerControl, ServerGreenlets } from './request/server.ts'

export { blocking } from '../engine.ts'
export type { Bind } from './request/bind.ts'
export type { CloseOptions, ServerOptions } from './request/options.ts'
export type { ServerControl } from './request/server.ts'

declare module 'koa' {
  interface DefaultContext {
    /** The greenlet that runs for this request, or that ran last; see `greenlets()`. */
    readonly greenlet: Greenlet
  }
}

type Next = () => Promise<unknown>
type Handler = (ctx: Context, next: Next) => unknown
type Compose = (middleware: readonly Handler[]) => (ctx: Context, next?: Next) => Promise<unknown>

interface App {
  readonly middleware: readonly Handler[]
  readonly context: object
  readonly compose: Compose
}

interface Context {
  readonly app: App
  readonly method: string
  readonly path: string
  readonly req: IncomingMessage
  readonly res: ServerResponse
  onerror(error: unknown): void
  [REQUEST]?: RequestGreenlets
}

/** The parts of @koa/router and koa-router that matter here. */
interface Router {
  match(path: string, method: string): { readonly pathAndMethod: readonly { readonly stack: Handler[] }[] }
}

/** The key of the greenlets of a request. */
const REQUEST = Symbol('greenlets')

/** From each request to its context. */
const contexts = new WeakMap<RequestGreenlets, Context>()

const rules: Rules = {
  exit(exit, request) {
    // The middleware around it unwind, and the first one of all ends it.
    throw request.abandoned ? exit : request.errorFor(exit)
  },
  fail(error, request) {
    contexts.get(request)!.onerror(error)
  },
}

/** From middleware to their wrappers, and from each wrapper to itself. */
const wrappers = new WeakMap<Handler, Handler>()

/**
 * Makes a middleware. Every middleware and route after it runs in a greenlet of its request, `ctx.greenlet`, and so it may
 * `wait()`. An error that it throws after a wait goes to the middleware around it and to `app.on('error')`, as usual.
 *
 * - With `timeout`, a request that is not answered in time fails with a GreenletError `ERR_GREENLET_TIMEOUT`, thrown where it
 *   waits. With `limit`, one that is too much is refused with `ERR_GREENLET_LIMIT` before any handler runs. Both errors have
 *   the status 503.
 * - When the client disconnects, the greenlets of its request are killed where they wait, and no more handlers run for it.
 *   A GreenletExit goes to error handlers only while the client waits, and then has the status 503.
 *
 * @example
 * ```js
 * import Koa from 'koa'
 * import { greenlets } from 'greenlets/koa'
 * const app = new Koa()
 * app.use(greenlets())
 * app.use((ctx) => {
 *   sleep(10) // blocks this request, and no other
 *   ctx.body = `served by ${ctx.greenlet.name}`
 * })
 * ```
 *
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`, for example for an unknown option
 * @throws UnsupportedRuntimeError where greenlets do not work
 */
export function greenlets(options?: ServerOptions): Middleware & ServerControl {
  const server = new ServerGreenlets(options)
  const followers = new WeakMap<App, ((ctx: Context) => Promise<unknown>) | 'opaque'>()
  const seen = new WeakSet<Context>()
  const middleware: Handler = async function greenlets(ctx, next): Promise<unknown> {
    // It is in an app in this app too.
    if (seen.has(ctx)) return next()
    seen.add(ctx)
    let rest = followers.get(ctx.app)
    if (rest === undefined) followers.set(ctx.app, (rest = followersOf(middleware, ctx.app)))
    const outer = ctx[REQUEST]
    const request = outer ?? requestOf(server, ctx)
    try {
      const refusal = outer === undefined ? request.refusal : outer.join(server)
      if (refusal !== undefined) throw refusal
      return await (rest === 'opaque' ? request.run(next) : rest(ctx))
    } catch (error) {
      // Koa would answer, and report it.
      if (outer !== undefined || !request.abandoned || !isExit(error)) throw error
      return undefined
    }
  }
  wrappers.set(middleware, middleware)
  return server.control(middleware as unknown as Middleware)
}

function requestOf(server: ServerGreenlets, ctx: Context): RequestGreenlets {
  const request = new RequestGreenlets(server, `${ctx.method} ${ctx.path}`, rules, { response: ctx.res })
  contexts.set(request, ctx)
  ctx[REQUEST] = request
  return request
}

/**
 * What an app calls after `middleware`, composed anew. 'opaque' if the app does not have it: then a function that was
 * composed by others calls it, and only the next function can be entered.
 */
function followersOf(middleware: Handler, app: App): ((ctx: Context) => Promise<unknown>) | 'opaque' {
  if (!('greenlet' in app.context)) {
    Object.defineProperty(app.context, 'greenlet', {
      configurable: true,
      get(this: Context) {
        return this[REQUEST]?.current
      },
    })
  }
  const index = app.middleware.indexOf(middleware)
  return index < 0 ? 'opaque' : app.compose(app.middleware.slice(index + 1).map(wrapped))
}

function wrapped(handler: Handler): Handler {
  const known = wrappers.get(handler)
  if (known !== undefined) return known
  const { router } = handler as { router?: Router }
  const wrapper = disguised(function (this: unknown, ctx: Context, next: Next): unknown {
    const request = ctx[REQUEST]
    if (request === undefined) return handler.call(this, ctx, next)
    if (request.abandoned) return over()
    return request.run(() => handler.call(this, ctx, next))
  }, handler)
  wrappers.set(handler, wrapper).set(wrapper, wrapper)
  if (typeof router?.match === 'function') wrapRoutes(router)
  return wrapper
}

/** Wraps the handlers of routes where the router keeps them, when a request matches them for the first time. */
function wrapRoutes(router: Router): void {
  const { match } = router
  router.match = function matchAndWrap(path, method) {
    const found = match.call(this, path, method)
    for (const { stack } of found.pathAndMethod) {
      for (const [i, handler] of stack.entries()) stack[i] = wrapped(handler)
    }
    return found
  }
}

/** For a handler that must not be called any more. A promise that is rejected, but not reported if it is not used. */
function over(): Promise<never> {
  const rejected = Promise.reject<never>(new GreenletExit())
  rejected.catch(() => {})
  return rejected
}

export { greenlets as default }

/**
 * Makes a callback or listener of a request that may `wait()`: it calls `fn` in a greenlet of the request that runs now, or
 * of `ctx`. That greenlet is killed with the others of the request. The callback returns what `fn` returns, or undefined if
 * `fn` has to wait. An error goes to `app.on('error')`, and is answered, or becomes a warning where the answer has begun.
 *
 * @example
 * ```js
 * import Koa from 'koa'
 * import { bind, greenlets } from 'greenlets/koa'
 * const app = new Koa()
 * app.use(greenlets())
 * app.use((ctx) => {
 *   ctx.res.on('finish', bind(() => sleep(10))) // without bind(), sleep() would throw: the event loop calls this
 *   ctx.body = 'hello'
 * })
 * ```
 *
 * @throws TypeError `ERR_GREENLET_INVALID_ARG` if `fn` is not a function, or the request is none that greenlets() has seen
 */
export const bind: Bind<object> = makeBind((ctx) => (ctx as Partial<Context>)[REQUEST])
