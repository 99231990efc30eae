/**
 * A lazy property of an object-relational mapper: reading `order.customer.name` loads the customer when it is first read. A getter
 * cannot be async; here it waits.
 */

import { setTimeout } from 'node:timers/promises'
import { spawn, wait } from '../../js/index.ts'

/** Stands for a database: rows that arrive some milliseconds later. */
const database = {
  orders: [
    { id: 1, customerId: 7 },
    { id: 2, customerId: 7 },
    { id: 3, customerId: 8 },
  ],
  customers: new Map([
    [7, { name: 'Ada' }],
    [8, { name: 'Grace' }],
  ]),
  queries: 0,
}

async function load<T>(read: () => T): Promise<T> {
  database.queries++
  await setTimeout(5)
  return read()
}

class Order {
  readonly id: number
  readonly #customerId: number
  #customer: { name: string } | undefined

  constructor(row: { id: number; customerId: number }) {
    this.id = row.id
    this.#customerId = row.customerId
  }

  get customer(): { name: string } {
    return (this.#customer ??= wait(load(() => database.customers.get(this.#customerId)!)))
  }
}

/** Plain code: it does not know what is loaded when. */
function report(): string[] {
  const orders = wait(load(() => database.orders)).map((row) => new Order(row))
  const ofAda = orders.filter((order) => order.customer.name === 'Ada')
  return ofAda.map(({ id, customer }) => `order ${id}: ${customer.name}`)
}

console.log((await spawn(report)).join('\n'))
console.log(`${database.queries} queries`)
