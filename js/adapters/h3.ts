/**
 * `greenlets/h3`: runs the handlers of an h3 app in greenlets.
 *
 * ```js
 * import { H3 } from 'h3'
 * import { wait } from 'greenlets'
 * import { greenlets } from 'greenlets/h3'
 *
 * const app = new H3()
 * app.register(greenlets())
 * app.get('/orders/:id', (event) => loadOrder(event.context.params.id)) // may wait(), however deep
 * ```
 *
 * This module does not import h3. The plugin replaces the methods of the app that take handlers.
 */

import { immediate } from '../common/turns.ts'
import type { H3, H3Event } from 'h3'
import type { Greenlet } from '../engine.ts'
import { type Bind, makeBind } from './request/bind.ts'
import type { ServerOptions } from './request/options.ts'
import { RequestGreenlets, type Response as NodeResponse, type Source } from './request/request.ts'
import { type ServerControl, ServerGreenlets } from './request/server.ts'
import { enteredBy, rules } from './web.ts'

export { blocking } from '../engine.ts'
export type { Bind } from './request/bind.ts'
export type { CloseOptions, ServerOptions } from './request/options.ts'
export type { ServerControl } from './request/server.ts'

declare module 'h3' {
  interface H3EventContext {
    /** The greenlet that runs for this request, or that ran last; see `greenlets()`. */
    greenlet?: Greenlet
  }
}

type Handler = (event: H3Event, next: () => unknown) => unknown

interface Route {
  handler: Handler
  middleware?: Handler[]
}

/** What is replaced here. The names with `~` are h3's own, which all ways to add a route or a middleware go through. */
interface App {
  config: Hooks
  readonly '~middleware': Handler[]
  readonly '~routes': Route[]
  '~composed'?: unknown
  '~dispatch'?: unknown
  handler: (event: H3Event) => unknown
  '~addRoute'(route: Route): void
  use(...given: unknown[]): unknown
  mount(base: string, input: unknown): unknown
}

interface Hooks {
  onRequest?: (event: H3Event) => unknown
  onResponse?: (response: unknown, event: H3Event) => unknown
  onError?: (error: unknown, event: H3Event) => unknown
}

const requests = new WeakMap<H3Event, RequestGreenlets>()
const wrappers = new WeakSet<object>()
const installed = new WeakSet<object>()

/**
 * Makes a plugin. Every handler and middleware that the app gets after `app.register(greenlets())`, also of apps that are
 * mounted, runs in a greenlet of its request, `event.context.greenlet`, and so it may `wait()`. An error that it throws
 * after a wait goes to the app's `onError`, as usual.
 *
 * - With `timeout`, a request that is not answered in time fails with a GreenletError `ERR_GREENLET_TIMEOUT`, thrown where it
 *   waits. With `limit`, one that is too much is refused with `ERR_GREENLET_LIMIT` before any handler runs. Both errors have
 *   the status 503.
 * - When the client disconnects, the greenlets of its request are killed where they wait, and no more handlers run for it.
 *   A GreenletExit goes to error handlers only while the client waits, and then has the status 503.
 *
 * @example
 * ```js
 * import { H3 } from 'h3'
 * import { greenlets } from 'greenlets/h3'
 * const app = new H3()
 * app.register(greenlets())
 * app.get('/', (event) => {
 *   sleep(10) // blocks this request, and no other
 *   return `served by ${event.context.greenlet.name}`
 * })
 * ```
 *
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`, for example for an unknown option
 * @throws UnsupportedRuntimeError where greenlets do not work
 */
export function greenlets(options?: ServerOptions): ((app: H3) => void) & ServerControl {
  const server = new ServerGreenlets(options)
  return server.control(function greenlets(app: H3) {
    const target = app as unknown as App
    wrapHooks(target, server)
    app.use((event, next) => {
      const request = admit(server, event)
      return unended.delete(request) ? endAfter(request, next) : next()
    })
    install(target)
  })
}

/** Those without a response of Node.js, which have to be ended here. */
const unended = new WeakSet<RequestGreenlets>()

/** Gives the greenlets of a request, which may be new. Throws where it is refused. */
function admit(server: ServerGreenlets, event: H3Event): RequestGreenlets {
  const known = requests.get(event)
  if (known !== undefined) {
    // A mounted app may have a plugin of its own.
    const refusal = known.join(server)
    if (refusal !== undefined) throw refusal
    return known
  }
  const source = sourceOf(event)
  const request = new RequestGreenlets(server, `${event.req.method} ${event.url.pathname}`, rules, source)
  requests.set(event, request)
  const { refusal } = request
  if (refusal !== undefined) {
    if (source.response === undefined) immediate(() => request.end())
    throw refusal
  }
  if (source.response === undefined) unended.add(request)
  return request
}

/** What tells that the client has left: the response of a server of Node.js, else the signal of the request. */
function sourceOf(event: H3Event): Source {
  const response = event.runtime?.node?.res as NodeResponse | undefined
  return response === undefined ? { signal: event.req.signal } : { response }
}

async function endAfter(request: RequestGreenlets, next: () => unknown): Promise<unknown> {
  try {
    return await next()
  } finally {
    request.end()
  }
}

/** Runs a hook. If it fails, no handler follows, but the app's other hooks do. */
async function endIfFailed(request: RequestGreenlets, hook: () => unknown): Promise<void> {
  try {
    await request.run(hook)
  } catch (error) {
    unended.delete(request)
    immediate(() => request.end())
    throw error
  }
}

/** Runs the hooks that the app's configuration has in greenlets. */
function wrapHooks(app: App, server: ServerGreenlets): void {
  const { onRequest, onResponse, onError } = app.config
  const hooks: Hooks = {}
  if (onRequest) {
    hooks.onRequest = (event) => {
      const request = admit(server, event)
      return unended.has(request) ? endIfFailed(request, () => onRequest(event)) : request.run(() => onRequest(event))
    }
    // A middleware that was there before may answer.
    const { handler } = app
    app.handler = function handleToEnd(event) {
      const request = requests.get(event)
      const handle = (): unknown => handler.call(app, event)
      return request !== undefined && unended.delete(request) ? endAfter(request, handle) : handle()
    }
  }
  if (onResponse) hooks.onResponse = (response, event) => runHook(event, () => onResponse(response, event))
  if (onError) hooks.onError = (error, event) => runHook(event, () => onError(error, event))
  app.config = { ...app.config, ...hooks }
}

function runHook(event: H3Event, hook: () => unknown): unknown {
  const request = requests.get(event)
  return request === undefined ? hook() : request.run(hook)
}

/** Replaces what takes handlers. An app that is mounted in two others may come twice. */
function install(app: App): void {
  if (installed.has(app)) return
  installed.add(app)
  const { '~addRoute': addRoute, use, mount } = app
  app['~addRoute'] = function addWrappedRoute(route) {
    addRoute.call(this, wrapRoute(route))
  }
  app.use = function useWrapped(...given) {
    const count = this['~middleware'].length
    const result = use.apply(this, given)
    wrapMiddleware(this, count)
    return result
  }
  app.mount = function mountWrapped(base, input) {
    const count = this['~middleware'].length
    // The middleware of an app is called where it is kept; its routes are copied, by `~addRoute`.
    if (isApp(input)) {
      install(input)
      wrapMiddleware(input, 0)
    }
    const result = mount.call(this, base, input)
    wrapMiddleware(this, count)
    return result
  }
}

function isApp(input: unknown): input is App {
  return typeof input === 'object' && input !== null && '~middleware' in input && '~addRoute' in input
}

function wrapMiddleware(app: App, from: number): void {
  const middleware = app['~middleware']
  for (let i = from; i < middleware.length; i++) middleware[i] = wrapped(middleware[i]!)
  app['~composed'] = app['~dispatch'] = undefined
}

function wrapRoute(route: Route): Route {
  const { handler, middleware } = route
  return { ...route, handler: wrapped(handler), ...(middleware && { middleware: middleware.map(wrapped) }) }
}

function wrapped(handler: Handler): Handler {
  if (wrappers.has(handler)) return handler
  const wrapper = enteredBy(handler, requestOf, show)
  wrappers.add(wrapper)
  return wrapper
}

function requestOf(event: H3Event): RequestGreenlets | undefined {
  return requests.get(event)
}

function show(event: H3Event, greenlet: Greenlet): void {
  event.context.greenlet = greenlet
}

export { greenlets as default }

/**
 * Makes a callback or listener of a request that may `wait()`: it calls `fn` in a greenlet of the request that runs now, or
 * of `event`. That greenlet is killed with the others of the request. The callback returns what `fn` returns, or undefined if
 * `fn` has to wait. An error becomes a warning, and ends the answer if that has begun.
 *
 * @example
 * ```js
 * import { H3 } from 'h3'
 * import { bind, greenlets } from 'greenlets/h3'
 * const app = new H3()
 * app.register(greenlets())
 * app.get('/', () => {
 *   setTimeout(bind(() => sleep(10)), 5) // without bind(), sleep() would throw: the event loop calls this
 *   return 'hello'
 * })
 * ```
 *
 * @throws TypeError `ERR_GREENLET_INVALID_ARG` if `fn` is not a function, or the request is none that greenlets() has seen
 */
export const bind: Bind<H3Event> = makeBind(requestOf)
