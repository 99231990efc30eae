/**
 * A shop whose handlers look up prices, one by one, in the middle of synchronous code. None of them is async, and no
 * request keeps another one waiting.
 */

import express, { type Express } from 'express'
import { greenlets } from '../js/adapters/express.ts'
import { wait } from '../js/index.ts'

/** Where the prices come from: it takes its time. */
export interface PriceList {
  find(article: number): Promise<number>
  findVisitor(id: number): Promise<string>
}

export function makeShop(prices: PriceList): Express {
  /** Blocks the greenlet of the request until the price is known. */
  function price(article: number): number {
    return wait(prices.find(article))
  }

  const app = express()
  app.use(greenlets())
  // It goes on from the event loop when it has read a body; what follows is in a greenlet all the same.
  app.use(express.json())

  // A middleware that blocks, for some.
  app.use('/:kind/:id', function greet(req, res, next) {
    const id = Number(req.params.id)
    if (id % 10 === 0) res.set('x-visitor', wait(prices.findVisitor(id)))
    next()
  })

  // In the callback of Array.prototype.map.
  app.get('/orders/:id', function order(req, res) {
    const sum = articles(req.params.id)
      .map((article) => price(article))
      .reduce((a, b) => a + b)
    res.json(sum)
  })

  // In a getter.
  app.get('/carts/:id', function cart(req, res) {
    const cart = {
      get total(): number {
        let sum = 0
        for (const article of articles(req.params.id)) sum += price(article)
        return sum
      },
    }
    res.json(cart.total)
  })

  // In a comparator of Array.prototype.sort.
  app.get('/offers/:id', function offers(req, res) {
    res.json(articles(req.params.id).sort((a, b) => price(a) - price(b)))
  })

  // In the reviver of JSON.parse, of a request that has a body.
  app.post('/imports/:id', function load(req, res) {
    const { text } = req.body as { text: string }
    res.json(JSON.parse(text, (_key, value: unknown) => (typeof value === 'number' ? price(value) : value)))
  })
  return app
}

/** The three articles of order, cart or offer number `id`. */
export function articles(id: number | string): number[] {
  return [1, 2, 3].map((n) => Number(id) * 10 + n)
}
