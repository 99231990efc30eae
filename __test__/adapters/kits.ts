// The frameworks in one shape, for the facts that hold for all of them (facts.ts).

import http from 'node:http'
import { json } from 'node:stream/consumers'
import type { ExecutionContext } from 'ava'
import { fastify as makeFastify, type FastifyReply, type FastifyRequest } from 'fastify'
import { getRequestListener } from '@hono/node-server'
import { H3, type H3Event } from 'h3'
import { toNodeHandler } from 'h3/node'
import { type Context, Hono } from 'hono'
import Koa from 'koa'
import { greenlets as inFastify } from '../../js/adapters/fastify.ts'
import { greenlets as inH3 } from '../../js/adapters/h3.ts'
import { greenlets as inHono } from '../../js/adapters/hono.ts'
import { greenlets as inKoa } from '../../js/adapters/koa.ts'
import type { ServerOptions } from '../../js/adapters/request/options.ts'
import type { ServerControl } from '../../js/adapters/request/server.ts'
import { Greenlet } from '../../js/index.ts'
import { listen, type Site } from './server.ts'

/** A request. */
export interface Asked {
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
}

/** Gives the text of the answer to a failed request. Its status is that of the error, else 500. */
export type OnError = (error: Error & { status?: number }) => string

export interface Served extends Site {
  readonly control: ServerControl
}

export interface Kit {
  readonly name: string
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

function goOn<T>(before: unknown, next: () => T): T | Promise<Awaited<T>> {
  return isThenable(before) ? Promise.resolve(before).then(next) as Promise<Awaited<T>> : next()
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
  async serve(t, options, add, onError = plainError) {
    const app = new Koa()
    app.silent = true
    const control = options === undefined ? NONE : inKoa(options)
    const asked = (ctx: Koa.Context): Asked => ({
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
    const route = (method: string, path: string, handler: Handler): void => {
      app.use((ctx, next) => {
        if (ctx.path !== path || ctx.method !== method) return next()
        const set = (text: unknown): void => void (ctx.body = text as string)
        const text = handler(asked(ctx))
        return isThenable(text) ? Promise.resolve(text).then(set) : set(text)
      })
    }
    add({
      step: (step) => app.use((ctx, next) => goOn(step(asked(ctx)), next)),
      get: (path, handler) => route('GET', path, handler),
      post: (path, handler) => route('POST', path, handler),
    })
    return { ...(await listen(t, http.createServer(app.callback()))), control }
  },
}

export const fastify: Kit = {
  name: 'fastify',
  async serve(t, options, add, onError = plainError) {
    const app = makeFastify()
    const control = options === undefined ? NONE : inFastify(options)
    if (options !== undefined) await app.register(control as ReturnType<typeof inFastify>)
    const asked = (request: FastifyRequest, reply: FastifyReply): Asked => ({
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
    add({
      step(step) {
        // Both forms.
        if (steps++ % 2 === 0) {
          app.addHook('preHandler', (request, reply, done) => {
            const result = step(asked(request, reply))
            if (isThenable(result)) result.then(() => done(), done)
            else done()
          })
        } else {
          // Without greenlets, Fastify would not go on after a plain function that does not call back.
          app.addHook('preHandler', (request, reply) => Promise.resolve(step(asked(request, reply))))
        }
      },
      get: (path, handler) => void app.get(path, (request, reply) => handler(asked(request, reply))),
      post: (path, handler) => void app.post(path, (request, reply) => handler(asked(request, reply))),
    })
    await app.ready()
    t.teardown(() => app.close())
    return { ...(await listen(t, app.server)), control }
  },
}

export const hono: Kit = {
  name: 'hono',
  async serve(t, options, add, onError = plainError) {
    const app = new Hono()
    const control = options === undefined ? NONE : inHono(options)
    const asked = (c: Context): Asked => ({
      path: c.req.path,
      get greenlet() {
        return c.var.greenlet
      },
      body: () => c.req.json(),
      response: (c.env as { outgoing: http.ServerResponse }).outgoing,
    })
    app.onError((error, c) =>
      c.text(onError(error), statusOf(error) as 500, headersOf(error)),
    )
    if (options !== undefined) app.use(control as ReturnType<typeof inHono>)
    const answer = (c: Context, text: unknown): Response | Promise<Response> =>
      isThenable(text) ? Promise.resolve(text).then((t) => c.text(t as string)) : c.text(text as string)
    add({
      step: (step) => app.use((c, next) => goOn(step(asked(c)), next) as Promise<void>),
      get: (path, handler) => app.get(path, (c) => answer(c, handler(asked(c)))),
      post: (path, handler) => app.post(path, (c) => answer(c, handler(asked(c)))),
    })
    return { ...(await listen(t, http.createServer(getRequestListener(app.fetch)))), control }
  },
}

export const h3: Kit = {
  name: 'h3',
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
      path: event.url.pathname,
      get greenlet() {
        return event.context.greenlet!
      },
      body: () => event.req.json(),
      response: event.runtime!.node!.res as unknown as http.ServerResponse,
    })
    add({
      step: (step) => app.use((event, next) => goOn(step(asked(event)), next)),
      get: (path, handler) => app.get(path, (event) => handler(asked(event))),
      post: (path, handler) => app.post(path, (event) => handler(asked(event))),
    })
    return { ...(await listen(t, http.createServer(toNodeHandler(app) as http.RequestListener))), control }
  },
}
