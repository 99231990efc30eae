/**
 * One small shop for each framework, written as that framework wants it: a middleware that awaits, one that waits for some
 * requests, and a plain handler that waits in a callback of `Array.prototype.map`.
 */

import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { setImmediate } from 'node:timers/promises'
import { getRequestListener } from '@hono/node-server'
import express from 'express'
import { fastify } from 'fastify'
import { H3 } from 'h3'
import { toNodeHandler } from 'h3/node'
import { Hono } from 'hono'
import Koa from 'koa'
import { greenlets as inExpress } from '../js/adapters/express.ts'
import { greenlets as inFastify } from '../js/adapters/fastify.ts'
import { greenlets as inH3 } from '../js/adapters/h3.ts'
import { greenlets as inHono } from '../js/adapters/hono.ts'
import { greenlets as inHttp } from '../js/adapters/http.ts'
import { greenlets as inKoa } from '../js/adapters/koa.ts'
import { wait } from '../js/index.ts'
import { articles, type PriceList } from './prices.ts'

/** Plain functions, which know nothing of the framework. They block the greenlet of the request until the price list answers. */
class Counter {
  readonly #prices: PriceList

  constructor(prices: PriceList) {
    this.#prices = prices
  }

  /** The sum of an order. */
  sum(id: string | undefined): number {
    return articles(id!)
      .map((article) => this.#price(article))
      .reduce((a, b) => a + b)
  }

  #price(article: number): number {
    return wait(this.#prices.find(article))
  }

  /** Some visitors are greeted by name. */
  visitor(url: string): string | undefined {
    const id = Number(url.slice(url.lastIndexOf('/') + 1))
    return id % 10 === 0 ? wait(this.#prices.findVisitor(id)) : undefined
  }
}

/** Each makes a server that answers `GET /orders/7` with the sum of the order. */
export const SHOPS: Readonly<Record<string, (prices: PriceList) => Server | Promise<Server>>> = {
  Express(prices) {
    const counter = new Counter(prices)
    const app = express()
    app.use(inExpress())
    app.use(async function load(_req, _res, next) {
      await setImmediate()
      next()
    })
    app.use(function greet(req, res, next) {
      const visitor = counter.visitor(req.url)
      if (visitor !== undefined) res.set('x-visitor', visitor)
      next()
    })
    app.get('/orders/:id', function order(req, res) {
      res.json(counter.sum(req.params.id))
    })
    return createServer(app)
  },

  Koa(prices) {
    const counter = new Counter(prices)
    const app = new Koa()
    app.use(inKoa())
    app.use(async function load(_ctx, next) {
      await setImmediate()
      await next()
    })
    app.use(function greet(ctx, next) {
      const visitor = counter.visitor(ctx.url)
      if (visitor !== undefined) ctx.set('x-visitor', visitor)
      return next()
    })
    app.use(function order(ctx) {
      ctx.body = `${counter.sum(ctx.path.split('/').at(-1))}`
    })
    return createServer(app.callback())
  },

  async Fastify(prices) {
    const counter = new Counter(prices)
    const app = fastify()
    await app.register(inFastify())
    app.addHook('onRequest', async function load() {
      await setImmediate()
    })
    app.addHook('preHandler', function greet(request, reply, done) {
      const visitor = counter.visitor(request.url)
      if (visitor !== undefined) reply.header('x-visitor', visitor)
      done()
    })
    app.get<{ Params: { id: string } }>('/orders/:id', function order(request) {
      return counter.sum(request.params.id)
    })
    await app.ready()
    return app.server
  },

  Hono(prices) {
    const counter = new Counter(prices)
    const app = new Hono()
    app.use(inHono())
    app.use(async function load(_c, next) {
      await setImmediate()
      await next()
    })
    app.use(function greet(c, next) {
      const visitor = counter.visitor(c.req.path)
      if (visitor !== undefined) c.header('x-visitor', visitor)
      return next()
    })
    app.get('/orders/:id', function order(c) {
      return c.json(counter.sum(c.req.param('id')))
    })
    return createServer(getRequestListener(app.fetch))
  },

  h3(prices) {
    const counter = new Counter(prices)
    const app = new H3()
    app.register(inH3())
    app.use(async function load() {
      await setImmediate()
    })
    app.use(function greet(event, next) {
      const visitor = counter.visitor(event.url.pathname)
      if (visitor !== undefined) event.res.headers.set('x-visitor', visitor)
      return next()
    })
    app.get('/orders/:id', function order(event) {
      return counter.sum(event.context.params!['id'])
    })
    return createServer(toNodeHandler(app) as RequestListener)
  },

  'node:http'(prices) {
    const counter = new Counter(prices)
    function greet(req: IncomingMessage, res: ServerResponse): void {
      const visitor = counter.visitor(req.url!)
      if (visitor !== undefined) res.setHeader('x-visitor', visitor)
    }
    return createServer(
      inHttp(function order(req, res) {
        greet(req, res)
        res.end(`${counter.sum(req.url!.split('/').at(-1))}`)
      }),
    )
  },
}
