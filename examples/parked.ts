/**
 * The second part of the demo: a real Express server in this process gets 200 requests at once from another process, and
 * shows where all of them are parked.
 */

import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Greenlet } from '../js/index.ts'
import type { ClientRequest, ClientResponse, ClientTask } from './client.ts'
import { articles, priceOf, SlowPrices } from './prices.ts'
import { makeShop } from './server.ts'
import { columns, heading, isInPackage, stackText } from './show.ts'

const COUNT = 200

/** A request and the response that it must get. */
interface Case extends ClientRequest {
  readonly response: ClientResponse
}

export async function parked(): Promise<void> {
  const prices = new SlowPrices()
  const server = makeShop(prices).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  const cases = Array.from({ length: COUNT }, (_, i) => makeCase(i + 1))
  const client = fork(fileURLToPath(new URL('client.ts', import.meta.url)))
  const finished = once(client, 'message') as Promise<[ClientResponse[]]>
  client.send({ url: `http://127.0.0.1:${port}`, requests: cases } satisfies ClientTask)
  while (prices.lookups < COUNT) await setTimeout(5)

  heading(`${COUNT} requests are parked in an Express server, deep inside synchronous code`)
  showParked(cases)

  prices.open()
  heading('The price list opens, and each request goes on from where it was parked')
  showResponses(cases, (await finished)[0])

  server.close()
  await once(server, 'close')
  assert.deepEqual(Greenlet.all(), [Greenlet.main])
}

function makeCase(id: number): Case {
  const prices = articles(id).map(priceOf)
  const sum = prices.reduce((a, b) => a + b)
  const visitor = id % 10 === 0 ? `visitor ${id}` : null
  const response = (value: unknown): ClientResponse => ({ status: 200, visitor, text: JSON.stringify(value) })
  switch (id % 4) {
    case 0:
      return { line: `GET /orders/${id}`, response: response(sum) }
    case 1:
      return { line: `GET /carts/${id}`, response: response(sum) }
    case 2:
      return { line: `GET /offers/${id}`, response: response(articles(id).toReversed()) }
    default: {
      const text = JSON.stringify(articles(id))
      return { line: `POST /imports/${id}`, body: JSON.stringify({ text }), response: response(prices) }
    }
  }
}

/** Prints each stack once, with the requests that are parked there. The frames of Express, below the handler, are left out. */
function showParked(cases: readonly Case[]): void {
  const parkedAt = new Map<string, string[]>()
  for (const greenlet of Greenlet.all()) {
    if (greenlet === Greenlet.main) continue
    const stack = greenlet.gr_stack
    const express = stack.findIndex(isInPackage)
    assert.ok(express > 0, `${greenlet.name} is parked in a handler`)
    const text = `${stackText(stack.slice(0, express))}\n    ... and ${stack.length - express} frames of Express and its adapter`
    parkedAt.set(text, [...(parkedAt.get(text) ?? []), greenlet.name])
  }

  for (const [stack, names] of parkedAt) {
    console.log(`${names.length} requests are parked here:\n\n${stack}\n`)
    console.log(`${columns(names.sort(byNumber))}\n`)
  }
  const all = [...parkedAt.values()].flat()
  assert.deepEqual(all.toSorted(), cases.map(({ line }) => line).toSorted())
  // One stack for each of the four handlers, and one in the middleware, where some requests still are.
  assert.equal(parkedAt.size, 5)
}

function showResponses(cases: readonly Case[], responses: readonly ClientResponse[]): void {
  const short = responses.map(
    ({ text }, i) => `${cases[i]!.line} -> ${text.length < 30 ? text : `${text.slice(0, 29)}...`}`,
  )
  console.log(columns(short))
  assert.deepEqual(
    responses,
    cases.map(({ response }) => response),
  )
  console.log(`${responses.length} answers, each the right one.`)
}

function byNumber(a: string, b: string): number {
  return Number(/\d+/.exec(a)) - Number(/\d+/.exec(b))
}
