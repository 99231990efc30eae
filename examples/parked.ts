/**
 * A real Express server in this process, 200 requests at once from another one, and the question where they all stand.
 */

import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Greenlet } from '../js/index.ts'
import type { Answer, Question, Task } from './client.ts'
import { articles, makeShop, type PriceList } from './server.ts'
import { columns, heading, isForeign, lines } from './show.ts'

const COUNT = 200

/** A request and the answer that it must get. */
interface Case extends Question {
  readonly answer: Answer
}

export async function parked(): Promise<void> {
  const prices = new SlowPrices()
  const server = makeShop(prices).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  const cases = Array.from({ length: COUNT }, (_, i) => makeCase(i + 1))
  const client = fork(fileURLToPath(new URL('client.ts', import.meta.url)))
  const answered = once(client, 'message') as Promise<[Answer[]]>
  client.send({ url: `http://127.0.0.1:${port}`, questions: cases } satisfies Task)
  while (prices.lookups < COUNT) await setTimeout(5)

  heading(`${COUNT} requests are parked in an Express server, deep inside synchronous code`)
  showParked(cases)

  prices.open()
  heading('The price list opens, and each goes on from where it stood to its answer')
  showAnswers(cases, (await answered)[0])

  server.close()
  await once(server, 'close')
  assert.deepEqual(Greenlet.all(), [Greenlet.main])
}

/** A price list that lets nobody have an answer until it is opened. */
class SlowPrices implements PriceList {
  lookups = 0
  open!: () => void
  readonly #opened = new Promise<void>((resolve) => (this.open = resolve))

  find(article: number): Promise<number> {
    this.lookups++
    return this.#opened.then(() => priceOf(article))
  }

  findVisitor(id: number): Promise<string> {
    this.lookups++
    return this.#opened.then(() => `visitor ${id}`)
  }
}

function priceOf(article: number): number {
  return 5000 - article
}

function makeCase(id: number): Case {
  const prices = articles(id).map(priceOf)
  const sum = prices.reduce((a, b) => a + b)
  const visitor = id % 10 === 0 ? `visitor ${id}` : null
  const answer = (value: unknown): Answer => ({ status: 200, visitor, text: JSON.stringify(value) })
  switch (id % 4) {
    case 0:
      return { what: `GET /orders/${id}`, answer: answer(sum) }
    case 1:
      return { what: `GET /carts/${id}`, answer: answer(sum) }
    case 2:
      return { what: `GET /offers/${id}`, answer: answer(articles(id).toReversed()) }
    default: {
      const text = JSON.stringify(articles(id))
      return { what: `POST /imports/${id}`, body: JSON.stringify({ text }), answer: answer(prices) }
    }
  }
}

/** Prints each stack once, with the requests that stand there. What lies under the handler, Express, is left out. */
function showParked(cases: readonly Case[]): void {
  const standing = new Map<string, string[]>()
  for (const greenlet of Greenlet.all()) {
    if (greenlet === Greenlet.main) continue
    const stack = greenlet.gr_stack
    const express = stack.findIndex(isForeign)
    assert.ok(express > 0, `${greenlet.name} stands in a handler`)
    const text = `${lines(stack.slice(0, express))}\n    ... and ${stack.length - express} frames of Express and its adapter`
    standing.set(text, [...(standing.get(text) ?? []), greenlet.name])
  }

  for (const [stack, names] of standing) {
    console.log(`${names.length} requests stand here:\n\n${stack}\n`)
    console.log(`${columns(names.sort(byNumber))}\n`)
  }
  const all = [...standing.values()].flat()
  assert.deepEqual(all.toSorted(), cases.map(({ what }) => what).toSorted())
  // One for each kind of handler, and the middleware that some have not got past.
  assert.equal(standing.size, 5)
}

function showAnswers(cases: readonly Case[], answers: readonly Answer[]): void {
  const short = answers.map(
    ({ text }, i) => `${cases[i]!.what} -> ${text.length < 30 ? text : `${text.slice(0, 29)}...`}`,
  )
  console.log(columns(short))
  assert.deepEqual(
    answers,
    cases.map(({ answer }) => answer),
  )
  console.log(`${answers.length} answers, each the right one.`)
}

function byNumber(a: string, b: string): number {
  return Number(/\d+/.exec(a)) - Number(/\d+/.exec(b))
}
