/**
 * The server of the demo: a shop with handlers that look up prices, one by one, in the middle of synchronous code. No handler
 * is async, and no request blocks another one.
 */

import express, { type Express } from 'express'
import { greenlets } from '../js/adapters/express.ts'
import { wait } from '../js/index.ts'
import { articles, type PriceList } from './prices.ts'

export function makeShop(prices: PriceList): Express {
  /** Blocks the greenlet of the request until the price is known. */
  function price(article: number): number {
    return wait(prices.find(article))
  }

  const app = express()
  app.use(greenlets())
  // This middleware calls next() from the event loop after it has read a body; the handlers after it still run in a greenlet.
  app.use(express.json())

  // A middleware that blocks, for some requests.
  app.use('/:kind/:id', function greet(req, res, next) {
    const id = Number(req.params.id)
    if (id % 10 === 0) res.set('x-visitor', wait(prices.findVisitor(id)))
    next()
  })

  // Blocks in the callback of Array.prototype.map.
  app.get('/orders/:id', function order(req, res) {
    const sum = articles(req.params.id)
      .map((article) => price(article))
      .reduce((a, b) => a + b)
    res.json(sum)
  })

  // Blocks in a getter.
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

  // Blocks in a comparator of Array.prototype.sort.
  app.get('/offers/:id', function offers(req, res) {
    res.json(articles(req.params.id).sort((a, b) => price(a) - price(b)))
  })

  // Blocks in the reviver of JSON.parse, for a request with a body.
  app.post('/imports/:id', function load(req, res) {
    const { text } = req.body as { text: string }
    res.json(JSON.parse(text, (_key, value: unknown) => (typeof value === 'number' ? price(value) : value)))
  })
  return app
}
