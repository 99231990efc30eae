// The frameworks in one shape, for the facts that hold for all of them (facts.ts).

import http from 'node:http'
import { json } from 'node:stream/consumers'
import type { ExecutionContext } from 'ava'
import { Router } from '@koa/router'
import { fastify as makeFastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { getRequestListener } from '@hono/node-server'
import { H3, type H3Event } from 'h3'
import { toNodeHandler } from 'h3/node'
import { type Context, Hono } from 'hono'
import Koa from 'koa'
import { bind as bindInFastify, greenlets as inFastify } from '../../js/adapters/fastify.ts'
import { bind as bindInH3, greenlets as inH3 } from '../../js/adapters/h3.ts'
import { bind as bindInHono, greenlets as inHono } from '../../js/adapters/hono.ts'
import { bind as bindInKoa, greenlets as inKoa } from '../../js/adapters/koa.ts'
import type { Bind } from '../../js/adapters/request/bind.ts'
import type { ServerOptions } from '../../js/adapters/request/options.ts'
import type { ServerControl } from '../../js/adapters/request/server.ts'
import type { Greenlet } from '../../js/index.ts'
import { listen, type Site } from './server.ts'

/** A request. */
export interface Asked {
  /** What stands for the request in the framework. */
  readonly owner: object
  readonly path: string
  /** What the framework calls the greenlet of the request. */
  readonly greenlet: Greenlet
  /** The JSON that the client has sent. */
  body(): Promise<unknown>
  /** The response of Node.js. */
  readonly response: http.ServerResponse
}

/** Gives the text of the answer. */
export type Handler = (asked: Asked) => unknown
/** Gives nothing, or a promise of it; then the request goes on. */
export type Step = (asked: Asked) => unknown

export interface App {
  step(step: Step): void
  get(path: string, handler: Handler): void
  post(path: string, handler: Handler): void
  /** A router, a plugin or an app of its own below a path. */
  group(prefix: string, add: (app: App) => void): void
}

/** Gives the text of the answer to a failed request. Its status is that of the error, else 500. */
export type OnError = (error: Error & { status?: number }) => string

export interface Served extends Site {
  readonly control: ServerControl
}

export interface Kit {
  readonly name: string
  /** The `bind` of the adapter. */
  readonly bind: Bind<never>
  /** Starts an app. Without options it has no greenlets. */
  serve(
    t: ExecutionContext,
    options: ServerOptions | undefined,
    add: (app: App) => void,
    onError?: OnError,
  ): Promise<Served>
}

const NONE: ServerControl = { living: new Set(), close: () => Promise.resolve() }
const plainError: OnError = (error) => `failed: ${error.message}`

/** Calls `next` with a value, at once, or when the promise of it is fulfilled. */
function goOn<T>(before: unknown, next: (value: unknown) => T): T | Promise<Awaited<T>> {
  if (!isThenable(before)) return next(before)
  // oxlint-disable-next-line no-callback-in-promise -- `next` is not called back
  return Promise.resolve(before).then(next) as Promise<Awaited<T>>
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === 'function'
}

/** As the errors of greenlets and of packages such as http-errors have them. */
const statusOf = (error: unknown): number => (error as { status?: number }).status ?? 500
const headersOf = (error: unknown): Record<string, string> =>
  (error as { headers?: Record<string, string> }).headers ?? {}

export const koa: Kit = {
  name: 'koa',
  bind: bindInKoa as Bind<never>,
  async serve(t, options, add, onError = plainError) {
    const app = new Koa()
    app.silent = true
    const control = options === undefined ? NONE : inKoa(options)
    const asked = (ctx: Koa.Context): Asked => ({
      owner: ctx,
      path: ctx.path,
      get greenlet() {
        return ctx['greenlet'] as Greenlet
      },
      body: () => json(ctx.req),
      response: ctx.res,
    })
    app.use(async (ctx, next) => {
      try {
        await next()
      } catch (error) {
        ctx.status = statusOf(error)
        ctx.set(headersOf(error))
        ctx.body = onError(error as Error)
      }
    })
    if (options !== undefined) app.use(control as ReturnType<typeof inKoa>)
    const step =
      (call: Step): Koa.Middleware =>
      (ctx, next) =>
        goOn(call(asked(ctx)), () => next())
    const handler =
      (call: Handler): Koa.Middleware =>
      (ctx) =>
        goOn(call(asked(ctx)), (text) => void (ctx.body = text))
    const appOf = (router: Router): App => ({
      step: (call) => void router.use(step(call)),
      get: (path, call) => void router.get(path, handler(call)),
      post: (path, call) => void router.post(path, handler(call)),
      group(prefix, addInner) {
        const inner = new Router()
        addInner(appOf(inner))
        router.use(prefix, inner.routes())
      },
    })
    const route = (path: string, method: string, call: Handler): void => {
      const handle = handler(call)
      app.use((ctx, next) => (ctx.path === path && ctx.method === method ? handle(ctx, next) : next()))
    }
    add({
      step: (call) => void app.use(step(call)),
      get: (path, call) => route(path, 'GET', call),
      post: (path, call) => route(path, 'POST', call),
      group(prefix, addInner) {
        const inner = new Router({ prefix })
        addInner(appOf(inner))
        app.use(inner.routes())
      },
    })
    return { ...(await listen(t, http.createServer(app.callback()))), control }
  },
}

export const fastify: Kit = {
  name: 'fastify',
  bind: bindInFastify as Bind<never>,
  async serve(t, options, add, onError = plainError) {
    const app = makeFastify()
    const control = options === undefined ? NONE : inFastify(options)
    if (options !== undefined) await app.register(control as ReturnType<typeof inFastify>)
    const asked = (request: FastifyRequest, reply: FastifyReply): Asked => ({
      owner: request,
      path: request.url,
      get greenlet() {
        return request.greenlet
      },
      body: () => Promise.resolve(request.body),
      response: reply.raw,
    })
    app.setErrorHandler((error: Error, _request, reply) => {
      reply.status(statusOf(error)).headers(headersOf(error)).send(onError(error))
    })
    let steps = 0
    const appOf = (instance: FastifyInstance): App => ({
      step(step) {
        // Both forms.
        if (steps++ % 2 === 0) {
          instance.addHook('preHandler', (request, reply, done) => {
            const result = step(asked(request, reply))
            // oxlint-disable-next-line no-callback-in-promise -- Fastify wants it
            if (isThenable(result)) result.then(() => done(), done)
            else done()
          })
        } else {
          // Without greenlets, Fastify would not go on after a plain function that does not call back.
          instance.addHook('preHandler', (request, reply) => Promise.resolve(step(asked(request, reply))))
        }
      },
      get: (path, handler) => void instance.get(path, (request, reply) => handler(asked(request, reply))),
      post: (path, handler) => void instance.post(path, (request, reply) => handler(asked(request, reply))),
      group: (prefix, addInner) => void instance.register(async (inner) => addInner(appOf(inner)), { prefix }),
    })
    add(appOf(app))
    await app.ready()
    t.teardown(() => app.close())
    return { ...(await listen(t, app.server)), control }
  },
}

export const hono: Kit = {
  name: 'hono',
  bind: bindInHono as Bind<never>,
  async serve(t, options, add, onError = plainError) {
    const app = new Hono()
    const control = options === undefined ? NONE : inHono(options)
    const asked = (c: Context): Asked => ({
      owner: c,
      path: c.req.path,
      get greenlet() {
        return c.var.greenlet
      },
      body: () => c.req.json(),
      response: (c.env as { outgoing: http.ServerResponse }).outgoing,
    })
    app.onError((error, c) => c.text(onError(error), statusOf(error) as 500, headersOf(error)))
    if (options !== undefined) app.use(control as ReturnType<typeof inHono>)
    const handler = (call: Handler) => (c: Context) => goOn(call(asked(c)), (text) => c.text(text as string))
    const appOf = (target: Hono): App => ({
      step: (step) => target.use((c, next) => goOn(step(asked(c)), () => next()) as Promise<void>),
      get: (path, call) => target.get(path, handler(call)),
      post: (path, call) => target.post(path, handler(call)),
      group(prefix, addInner) {
        const inner = new Hono()
        addInner(appOf(inner))
        target.route(prefix, inner)
      },
    })
    add(appOf(app))
    return { ...(await listen(t, http.createServer(getRequestListener(app.fetch)))), control }
  },
}

export const h3: Kit = {
  name: 'h3',
  bind: bindInH3 as Bind<never>,
  async serve(t, options, add, onError = plainError) {
    const app = new H3({
      silent: true,
      onError: (error) =>
        new Response(onError((error.cause ?? error) as Error), {
          status: error.status,
          headers: (error.headers ?? {}) as Headers,
        }),
    })
    const control = options === undefined ? NONE : inH3(options)
    if (options !== undefined) app.register(control as ReturnType<typeof inH3>)
    const asked = (event: H3Event): Asked => ({
      owner: event,
      // Not that of `event.url`, which changes in mounted apps.
      path: event.runtime!.node!.req.url!,
      get greenlet() {
        return event.context.greenlet!
      },
      body: () => event.req.json(),
      response: event.runtime!.node!.res as unknown as http.ServerResponse,
    })
    const appOf = (target: H3): App => ({
      step: (step) => target.use((event, next) => goOn(step(asked(event)), () => next())),
      get: (path, call) => target.get(path, (event) => call(asked(event))),
      post: (path, call) => target.post(path, (event) => call(asked(event))),
      group(prefix, addInner) {
        const inner = new H3()
        // It may mount others before it is mounted.
        if (options !== undefined) inner.register(control as ReturnType<typeof inH3>)
        addInner(appOf(inner))
        target.mount(prefix, inner)
      },
    })
    add(appOf(app))
    return { ...(await listen(t, http.createServer(toNodeHandler(app) as http.RequestListener))), control }
  },
}
