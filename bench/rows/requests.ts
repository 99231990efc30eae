/**
 * Requests that an Express app answers, without sockets, with greenlets and with async functions; and `spawn()` beside a promise
 * that the event loop settles. What a request costs includes its garbage, so `../requests.ts` measures these rows in long batches.
 */

import { IncomingMessage, ServerResponse } from 'node:http'
import express from 'express'
import { greenlets } from '../../js/adapters/express.ts'
import { spawn, wait } from '../../js/index.ts'
import type { Row } from '../rig.ts'

/** How many requests are open at the same time. */
const AT_ONCE = 100
const DEPTH = 20

type Serve = (done: (answer?: unknown) => void) => void

export function requestRows(): Row[] {
  return [
    ...both('trivial', trivial, trivialAsync),
    ...both('3 waits', threeWaits, threeAwaits),
    ...both('1 wait below 20 functions', below(1), belowAsync(1)),
    ...both('10 waits below 20 functions', below(10), belowAsync(10)),
    row('spawn', async (done) => done(await spawn(one))),
    row('promise of an immediate', async (done) => done(await soon(one))),
  ]
}

/** The rows of a handler that runs in greenlets, and of an async one. Both answer with 1. */
function both(name: string, handler: express.RequestHandler, asyncHandler: express.RequestHandler): Row[] {
  const waiting = makeApp().use(greenlets()).get('/orders/:id', handler)
  const awaiting = makeApp().get('/orders/:id', asyncHandler)
  return [
    row(`Express, ${name}`, (done) => serve(waiting, done)),
    row(`Express, async: ${name}`, (done) => serve(awaiting, done)),
  ]
}

function trivial(req: express.Request, res: express.Response): void {
  res.end(Number(req.params['id']))
}

async function trivialAsync(req: express.Request, res: express.Response): Promise<void> {
  res.end(Number(req.params['id']))
}

function threeWaits(req: express.Request, res: express.Response): void {
  const first = wait(later(Number(req.params['id']))) + 1
  const second = wait(later(first)) + 1
  res.end(wait(later(second)) - 2)
}

async function threeAwaits(req: express.Request, res: express.Response): Promise<void> {
  const first = (await later(Number(req.params['id']))) + 1
  const second = (await later(first)) + 1
  res.end((await later(second)) - 2)
}

function below(waits: number): express.RequestHandler {
  return (req, res) => {
    let x = Number(req.params['id'])
    for (let i = 0; i < waits; i++) x = waitBelow(DEPTH, x)
    res.end(x)
  }
}

function waitBelow(depth: number, x: number): number {
  return depth === 1 ? wait(Promise.resolve(x)) : waitBelow(depth - 1, x)
}

function belowAsync(waits: number): express.RequestHandler {
  return async (req, res) => {
    let x = Number(req.params['id'])
    for (let i = 0; i < waits; i++) x = await awaitBelow(DEPTH, x)
    res.end(x)
  }
}

async function awaitBelow(depth: number, x: number): Promise<number> {
  return depth === 1 ? await Promise.resolve(x) : await awaitBelow(depth - 1, x)
}

function one(): number {
  return 1
}

/** Calls a function when `spawn()` would start a greenlet: in the event loop, after the code that runs now. */
function soon<T>(fn: () => T): Promise<T> {
  return new Promise((resolve) => setImmediate(() => resolve(fn())))
}

/** A promise that the event loop settles, as the answer of a database. */
function later(value: number): Promise<number> {
  return new Promise((resolve) => setImmediate(resolve, value))
}

/** Does `serve` `count` times, some of them at once. */
function row(name: string, serve: Serve): Row {
  return {
    name,
    run: (count) =>
      new Promise((resolve) => {
        let [begun, ended] = [0, 0]
        const begin = (): void => {
          if (begun++ < count) serve(end)
        }
        const end = (): void => {
          if (++ended === count) resolve(count)
          else setImmediate(begin)
        }
        for (let i = 0; i < AT_ONCE; i++) setImmediate(begin)
      }),
  }
}

/**
 * Node makes these two objects for each request that it reads from a socket. Here there is no socket: the answer is checked and not
 * written.
 */
function serve(app: express.Express, done: () => void): void {
  const req = new IncomingMessage(null as never)
  req.method = 'GET'
  req.url = '/orders/1'
  const res: Response = new ServerResponse(req)
  res.done = done
  app(req as never, res as never)
}

type Response = ServerResponse & { done?: () => void }

/** What Node does once it has written an answer, for the responses of an app. */
const withoutSocket: PropertyDescriptorMap & ThisType<Response> = {
  end: {
    value(this: Response, body: unknown) {
      if (body !== 1) throw new Error(`a request was answered with ${String(body)}`)
      this.finished = true
      this.emit('close')
      this.done!()
    },
  },
  writableFinished: {
    get(this: Response) {
      return this.finished
    },
  },
}

function makeApp(): express.Express {
  const app = express()
  Object.defineProperties(app.response, withoutSocket)
  return app
}
