/**
 * The third part of the demo: a server with each framework gets 100 requests at once, and shows where all of them are parked.
 */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join, relative } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { dump } from '../js/dump.ts'
import { type Frame, Greenlet } from '../js/index.ts'
import { articles, priceOf, SlowPrices } from './prices.ts'
import { SHOPS } from './shops.ts'
import { heading, isInExamples, stackText } from './show.ts'

const COUNT = 100
/** The dump of the last server. */
const PAGE = join(import.meta.dirname, '../target/demo.html')
const IDS = Array.from({ length: COUNT }, (_, i) => i + 1)

export async function frameworks(): Promise<void> {
  mkdirSync(dirname(PAGE), { recursive: true })
  for (const [name, make] of Object.entries(SHOPS)) {
    const prices = new SlowPrices()
    const server = (await make(prices)).listen(0, '127.0.0.1')
    await once(server, 'listening')

    heading(`${name}: ${COUNT} requests at once`)
    const answers = Promise.all(IDS.map((id) => ask(server, id)))
    while (prices.lookups < COUNT) await setTimeout(5)
    showParked(name)
    const page = dump({ format: 'html' })
    assert.ok(IDS.every((id) => page.includes(`GET /orders/${id}<`)))

    prices.open()
    assert.deepEqual(await answers, IDS.map(expected))
    console.log(`${name} gave ${COUNT} answers, each the right one.`)
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
    while (Greenlet.all().length > 1) await setTimeout(5)
    writeFileSync(PAGE, page)
  }
  console.log(
    `\nThe last server, as it was with ${COUNT} requests, is a page: open ${relative(process.cwd(), PAGE)} in a browser.`,
  )
}

async function ask(server: Server, id: number): Promise<unknown> {
  const { port } = server.address() as AddressInfo
  const response = await fetch(`http://127.0.0.1:${port}/orders/${id}`)
  return { status: response.status, visitor: response.headers.get('x-visitor'), text: await response.text() }
}

function expected(id: number): unknown {
  const sum = articles(id)
    .map(priceOf)
    .reduce((a, b) => a + b)
  return { status: 200, visitor: id % 10 === 0 ? `visitor ${id}` : null, text: `${sum}` }
}

/** Prints each stack once, with the number of requests that are parked there. The frames below the program's own are left out. */
function showParked(name: string): void {
  const places = new Map<string, string[]>()
  for (const greenlet of Greenlet.all()) {
    if (greenlet === Greenlet.main) continue
    const text = programText(greenlet.gr_stack)
    places.set(text, [...(places.get(text) ?? []), greenlet.name])
  }
  for (const [text, names] of places) console.log(`${names.length} requests are parked here:\n\n${text}\n`)

  const parked = [...places.values()].flat()
  assert.deepEqual(parked.toSorted(), IDS.map((id) => `GET /orders/${id}`).toSorted())
  // Visitors with a name are still in the middleware, all others in the handler.
  const counts = [...places].map(([text, names]) => [/at (greet|order) /.exec(text)?.[1], names.length])
  assert.deepEqual(
    counts.toSorted(),
    [
      ['greet', COUNT / 10],
      ['order', COUNT - COUNT / 10],
    ],
    name,
  )
}

function programText(stack: readonly Frame[]): string {
  const end = stack.findLastIndex(isInExamples) + 1
  const below = stack.length - end
  return (
    stackText(stack.slice(0, end)) + (below > 0 ? `\n    ... and ${below} frames of the server and its adapter` : '')
  )
}
