/**
 * `greenlets/fastify`: runs the hooks and handlers of a Fastify 5 app in greenlets.
 *
 * ```js
 * import fastify from 'fastify'
 * import { wait } from 'greenlets'
 * import { greenlets } from 'greenlets/fastify'
 *
 * const app = fastify()
 * await app.register(greenlets())
 * app.get('/orders/:id', (request) => loadOrder(request.params.id)) // may wait(), however deep
 * ```
 *
 * This module does not import Fastify. The plugin replaces the methods of the app by which hooks, parsers and error handlers
 * are added, and uses the hook `onRoute` for handlers.
 */

import type { IncomingMessage } from 'node:http'
import type {
  FastifyInstance,
  FastifyPluginCallback,
  FastifyReply,
  FastifyRequest,
  onRequestHookHandler,
} from 'fastify'
import { type Greenlet, GreenletExit } from '../engine.ts'
import { disguised } from './disguise.ts'
import { type Bind, makeBind } from './request/bind.ts'
import type { ServerOptions } from './request/options.ts'
import { isThenable, RequestGreenlets, type Rules } from './request/request.ts'
import { type ServerControl, ServerGreenlets } from './request/server.ts'

export { blocking } from '../engine.ts'
export type { Bind } from './request/bind.ts'
export type { CloseOptions, ServerOptions } from './request/options.ts'
export type { ServerControl } from './request/server.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The greenlet that runs for this request, or that ran last; see `greenlets()`. */
    readonly greenlet: Greenlet
  }
}

// oxlint-disable-next-line typescript/no-explicit-any -- it stands for all kinds of hooks, parsers and handlers
type Handler = (this: any, ...args: any[]) => unknown
/** A method of a Fastify instance. */
type Method = (this: FastifyInstance, ...args: unknown[]) => unknown

/**
 * The number of parameters of each kind of hook, with the callback. A hook with fewer parameters gives a promise, and does
 * not call back.
 */
const HOOKS: Readonly<Record<string, number>> = {
  onRequest: 3,
  preParsing: 4,
  preValidation: 3,
  preHandler: 3,
  preSerialization: 4,
  onSend: 4,
  onError: 4,
  onResponse: 3,
  onTimeout: 3,
  onRequestAbort: 2,
}
/** The hooks that come before the handler. They are not called for a client that has left. */
const BEFORE: readonly string[] = ['onRequest', 'preParsing', 'preValidation', 'preHandler']
/** Of a content type parser. */
const PARSER_PARAMETERS = 3

/** The key of the greenlets of a request. */
const REQUEST = Symbol('greenlets')
type Incoming = IncomingMessage & { [REQUEST]?: RequestGreenlets }

const replies = new WeakMap<RequestGreenlets, FastifyReply>()
/** What is not wrapped again. */
const wrappers = new WeakSet<Handler>()

const rules: Rules = {
  exit(exit, request) {
    // Fastify must not answer. It goes on neither with a value nor with an error.
    if (request.abandoned) return never()
    throw request.errorFor(exit)
  },
  fail(error, request) {
    const reply = replies.get(request)!
    if (!reply.sent) reply.send(error instanceof Error ? error : new Error(String(error), { cause: error }))
  },
}

/**
 * Makes a plugin. Every hook, handler, error handler and content type parser that is added after
 * `await app.register(greenlets())`, also in plugins, runs in a greenlet of its request, `request.greenlet`, and so it may
 * `wait()`. An error that it throws after a wait goes to `setErrorHandler()`, as usual.
 *
 * - With `timeout`, a request that is not answered in time fails with a GreenletError `ERR_GREENLET_TIMEOUT`, thrown where it
 *   waits. With `limit`, one that is too much is refused with `ERR_GREENLET_LIMIT` before any handler runs. Both errors have
 *   the status 503.
 * - When the client disconnects, the greenlets of its request are killed where they wait, and no more handlers run for it.
 *   A GreenletExit goes to error handlers only while the client waits, and then has the status 503.
 *
 * @example
 * ```js
 * import fastify from 'fastify'
 * import { greenlets } from 'greenlets/fastify'
 * const app = fastify()
 * await app.register(greenlets())
 * app.get('/', (request) => {
 *   sleep(10) // blocks this request, and no other
 *   return `served by ${request.greenlet.name}`
 * })
 * ```
 *
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`, for example for an unknown option
 * @throws UnsupportedRuntimeError where greenlets do not work
 */
export function greenlets(options?: ServerOptions): FastifyPluginCallback & ServerControl {
  const server = new ServerGreenlets(options)
  const plugin: FastifyPluginCallback = function greenlets(app, _options, done) {
    install(app, server)
    done()
  }
  return server.control(
    Object.assign(plugin, {
      // What the package fastify-plugin sets: it is for the app, not for a part of it.
      [Symbol.for('skip-override')]: true,
      [Symbol.for('fastify.display-name')]: 'greenlets',
      [Symbol.for('plugin-meta')]: { name: 'greenlets', fastify: '5.x' },
    }),
  )
}

function install(app: FastifyInstance, server: ServerGreenlets): void {
  if (!app.hasRequestDecorator('greenlet')) {
    app.decorateRequest('greenlet', {
      getter(this: FastifyRequest) {
        return requestOf(this)?.current as Greenlet
      },
    })
  }
  app.addHook('onRequest', (request, reply, done) => done(admit(server, request, reply)))
  app.addHook('preClose', () => server.close())
  app.addHook('onRoute', (route) => {
    wrapProperties(route as unknown as Record<string, unknown>)
    const { handlerTimeout = (app.initialConfig as { handlerTimeout?: number }).handlerTimeout, onRequest = [] } = route
    if (handlerTimeout) route.onRequest = [endAtTimeout, ...[onRequest].flat()]
  })
  replaceMethods(app as unknown as Record<string, Method>)
}

/** Makes the greenlets of a request. Returns the error for a request that is refused. */
function admit(server: ServerGreenlets, request: FastifyRequest, reply: FastifyReply): Error | undefined {
  const known = requestOf(request)
  if (known !== undefined) {
    // It is registered twice.
    return known.join(server)
  }
  const name = `${request.method} ${request.url.split('?', 1)[0]}`
  const greenlets = new RequestGreenlets(server, name, rules, { response: reply.raw })
  replies.set(greenlets, reply)
  ;(request.raw as Incoming)[REQUEST] = greenlets
  return greenlets.refusal
}

/**
 * At the `handlerTimeout` of a route, Fastify answers, and aborts the signal of the request. Then its greenlets end.
 */
const endAtTimeout: onRequestHookHandler = (request, _reply, done) => {
  const { signal } = request
  const onAbort = (): void => {
    if ((signal.reason as { code?: unknown }).code === 'FST_ERR_HANDLER_TIMEOUT') requestOf(request)?.abandon()
  }
  signal.addEventListener('abort', onAbort, { once: true })
  done()
}

function requestOf(request: FastifyRequest): RequestGreenlets | undefined {
  return (request.raw as Incoming | undefined)?.[REQUEST]
}

/** Replaces the methods that take functions. Instances of plugins inherit them. */
function replaceMethods(app: Record<string, Method>): void {
  const { addHook, addContentTypeParser, setErrorHandler, setNotFoundHandler } = app
  app['addHook'] = function addWrappedHook(kind, hook) {
    return addHook!.call(this, kind, wrapHook(kind as string, hook))
  }
  app['addContentTypeParser'] = function addWrappedParser(type, ...given) {
    return addContentTypeParser!.call(this, type, ...given.map((one) => wrapCallable(one, PARSER_PARAMETERS, true)))
  }
  app['setErrorHandler'] = function setWrappedErrorHandler(handler) {
    return setErrorHandler!.call(this, wrapHandler(handler, 1))
  }
  app['setNotFoundHandler'] = function setWrappedNotFoundHandler(options, handler) {
    if (typeof options === 'function') return setNotFoundHandler!.call(this, wrapHandler(options, 0))
    if (typeof options === 'object' && options !== null) wrapProperties(options as Record<string, unknown>)
    return setNotFoundHandler!.call(this, options, handler && wrapHandler(handler, 0))
  }
}

/** Wraps the functions that the options of a route have. */
function wrapProperties(options: Record<string, unknown>): void {
  for (const kind in HOOKS) {
    const hooks = options[kind]
    if (Array.isArray(hooks)) options[kind] = hooks.map((hook) => wrapHook(kind, hook))
    else if (hooks !== undefined) options[kind] = wrapHook(kind, hooks)
  }
  for (const [name, index] of [
    ['handler', 0],
    ['errorHandler', 1],
  ] as const) {
    if (options[name] !== undefined) options[name] = wrapHandler(options[name], index)
  }
}

function wrapHook(kind: string, hook: unknown): unknown {
  return Object.hasOwn(HOOKS, kind) ? wrapCallable(hook, HOOKS[kind]!, BEFORE.includes(kind)) : hook
}

/**
 * Wraps a hook or a parser.
 *
 * @param parameters how many it has if it calls back
 * @param onlyPresent whether it is only called while the client is there
 */
function wrapCallable(hook: unknown, parameters: number, onlyPresent: boolean): unknown {
  if (typeof hook !== 'function' || wrappers.has(hook as Handler)) return hook
  const callsBack = hook.length >= parameters
  // Fastify refuses an async function that takes a callback. It tells them by their constructor.
  if (callsBack && hook.constructor.name === 'AsyncFunction') return hook
  return callsBack
    ? wrapCallingBack(hook as Handler, parameters - 1, onlyPresent)
    : wrapGiving(hook as Handler, onlyPresent)
}

/** For a hook that gives a promise. One that is not async, and may wait, goes on when it returns. */
function wrapGiving(hook: Handler, onlyPresent: boolean): Handler {
  return wrapper(hook, function (...args) {
    const request = requestOf(args[0])
    if (request === undefined) return hook.apply(this, args)
    if (onlyPresent && request.abandoned) return never()
    const result = request.run(() => hook.apply(this, args))
    return isThenable(result) ? result : Promise.resolve(result)
  })
}

/** For a hook that calls back. Fastify takes a promise that it returns for a second call of `done()`. */
function wrapCallingBack(hook: Handler, at: number, onlyPresent: boolean): Handler {
  return wrapper(hook, function (...args) {
    const request = requestOf(args[0])
    if (request === undefined) return hook.apply(this, args)
    if (onlyPresent && request.abandoned) return undefined
    const done = args[at] as (error?: unknown, value?: unknown) => void
    let [called, returned] = [false, false]
    args[at] = (...given: [unknown, unknown]) => {
      called = true
      done(...given)
      // No more code of this hook should run.
      if (request.abandoned && request.inside) throw new GreenletExit()
    }
    const result = request.run(() => {
      const value = hook.apply(this, args)
      returned = true
      return value
    })
    if (returned) return result
    // It waits.
    ;(result as Promise<unknown>).then(undefined, (error: unknown) => {
      if (called) (args[0] as FastifyRequest).log.error({ err: error }, 'a hook threw after it had called done()')
      // oxlint-disable-next-line no-callback-in-promise -- Fastify wants it
      else done(error)
    })
    return undefined
  })
}

/**
 * Wraps the handler of a route or of errors. A plain function that waits and then returns undefined answers by
 * `reply.send()`, as one that does not wait.
 *
 * @param at where the request is among its arguments
 */
function wrapHandler(handler: unknown, at: number): unknown {
  if (typeof handler !== 'function' || wrappers.has(handler as Handler)) return handler
  return wrapper(handler as Handler, function (...args) {
    const request = requestOf(args[at])
    if (request === undefined) return handler.apply(this, args)
    // Errors should be handled, at least logged, even then.
    if (at === 0 && request.abandoned) return never()
    let waited = false
    const result = request.run(() => {
      const value = handler.apply(this, args)
      return waited && value === undefined ? never() : value
    })
    waited = true
    return result
  })
}

function wrapper(original: Handler, replacement: Handler): Handler {
  wrappers.add(disguised(replacement, original))
  return replacement
}

/** A new one each time, because a promise keeps the callbacks that it gets. */
function never(): Promise<never> {
  return new Promise(() => {})
}

export { greenlets as default }

/**
 * Makes a callback or listener of a request that may `wait()`: it calls `fn` in a greenlet of the request that runs now, or
 * of `request`. That greenlet is killed with the others of the request. The callback returns what `fn` returns, or undefined if
 * `fn` has to wait. An error goes to the error handler, or becomes a warning where the answer has begun.
 *
 * @example
 * ```js
 * import fastify from 'fastify'
 * import { bind, greenlets } from 'greenlets/fastify'
 * const app = fastify()
 * await app.register(greenlets())
 * app.get('/', (request, reply) => {
 *   reply.raw.on('finish', bind(() => sleep(10))) // without bind(), sleep() would throw: the event loop calls this
 *   return 'hello'
 * })
 * ```
 *
 * @throws TypeError `ERR_GREENLET_INVALID_ARG` if `fn` is not a function, or the request is none that greenlets() has seen
 */
export const bind: Bind<FastifyRequest> = makeBind((request) => requestOf(request))
