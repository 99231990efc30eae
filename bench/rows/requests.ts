/** Requests that an Express app answers, without sockets: what a request costs beside its handler's three waits. */

import express from 'express'
import { wait } from '../../js/index.ts'
import { greenlets } from '../../js/adapters/express.ts'
import type { Row } from '../rig.ts'

export function requestRows(): Row[] {
  const waiting = express().use(greenlets()).get('/orders/:id', waitingHandler)
  const awaiting = express().get('/orders/:id', awaitingHandler)
  return [
    { name: 'Express request with 3 waits', run: (count) => requests(waiting, count) },
    { name: 'Express request with 3 awaits', run: (count) => requests(awaiting, count) },
  ]
}

function waitingHandler(req: express.Request, res: express.Response): void {
  const first = wait(later(Number(req.params['id']))) + 1
  const second = wait(later(first)) + 1
  res.end(wait(later(second)) + 1)
}

async function awaitingHandler(req: express.Request, res: express.Response): Promise<void> {
  const first = (await later(Number(req.params['id']))) + 1
  const second = (await later(first)) + 1
  res.end((await later(second)) + 1)
}

/** A promise that the event loop settles, as the answer of a database. */
function later(value: number): Promise<number> {
  return new Promise((resolve) => setImmediate(resolve, value))
}

/** Serves requests that come all at once. Counts those that were answered with what the handler has computed. */
function requests(app: express.Express, count: number): Promise<number> {
  return new Promise((resolve) => {
    let [answered, right] = [0, 0]
    const answer = (body: unknown): void => {
      answered++
      if (body === 4) right++
      if (answered === count) resolve(right)
    }
    for (let i = 0; i < count; i++) setImmediate(serve, app, answer)
  })
}

function serve(app: express.Express, answer: (body: unknown) => void): void {
  const req = { method: 'GET', url: '/orders/1', headers: {} }
  const res = {
    writableFinished: false,
    destroyed: false,
    setHeader() {},
    emit: undefined as unknown as (event: string) => void,
    end(body: unknown) {
      res.writableFinished = true
      answer(body)
      res.emit('close')
    },
  }
  // Express gives both the prototypes of Node's classes, in which `emit` is.
  Reflect.deleteProperty(res, 'emit')
  app(req as never, res as never)
}
