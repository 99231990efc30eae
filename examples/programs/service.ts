/** A price list on the network, for the other examples: it answers `GET /prices/pen` after some milliseconds. */

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { wait } from '../../js/index.ts'

const PRICES: Readonly<Record<string, number>> = { book: 30, ink: 7, pen: 2 }

const server = createServer((req, res) => {
  const price = PRICES[req.url!.split('/').at(-1)!]
  setTimeout(() => res.writeHead(price === undefined ? 404 : 200).end(JSON.stringify({ price })), 5)
}).listen(0, '127.0.0.1')
await once(server, 'listening')
// It keeps no example alive.
server.unref()

export const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

/** An ordinary function that returns a number. It may be called in any greenlet, however deep. */
export function priceOf(item: string): number {
  const response = wait(fetch(`${base}/prices/${item}`))
  if (!response.ok) throw new Error(`no price for '${item}'`)
  return (wait(response.json()) as { price: number }).price
}
