/**
 * An SQL function that fetches, with better-sqlite3 instead of `node:sqlite`. Its queries are synchronous; in a greenlet the function
 * waits inside of SQLite, and the event loop goes on. For Node.js 22 and later.
 *
 * A connection is not re-entrant: while a query waits in a function, the connection is busy. So two queries at the same time have a
 * connection each, or they take turns, by `exclusive()`. A transaction that waits must have the connection to itself too: a second
 * `db.transaction()` would become a savepoint in the first.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { spawn } from '../../js/index.ts'
import { exclusive } from '../../js/tools/index.ts'
import { priceOf } from './service.ts'

const folder = mkdtempSync(join(tmpdir(), 'greenlets-'))
const connections = []

function connect() {
  const db = new Database(join(folder, 'stock.db'))
  db.function('price', (item) => priceOf(item))
  connections.push(db)
  return db
}

const db = connect()
db.exec(`
  create table stock (item text, count int);
  insert into stock values ('pen', 10), ('book', 2), ('ink', 3);
`)

/** Plain code: it does not know that the query waits. */
function valueOf(item, connection) {
  return connection.prepare('select count * price(item) as value from stock where item = ?').get(item).value
}

// A connection for each greenlet: their queries wait at the same time.
let turns = 0
const timer = setInterval(() => turns++, 1)
const values = ['pen', 'book'].map((item) => spawn(() => valueOf(item, connect())))
console.log(`pen: ${await values[0]}, book: ${await values[1]}`)
clearInterval(timer)
console.log('timers ran meanwhile:', turns > 0)

// One connection for both, without a lock: the second query is refused.
const [first, second] = await Promise.allSettled(['pen', 'book'].map((item) => spawn(valueOf, item, db)))
console.log(`${first.value}; ${second.reason.message}`)

// With a lock, a transaction that waits is rolled back alone, and the next one begins after it.
const inTransaction = exclusive((item, count) =>
  db.transaction(() => {
    db.prepare('update stock set count = ? where item = ?').run(count, item)
    if (valueOf(item, db) > 100) throw new RangeError(`${count} are too many`)
    return count
  })(),
)
const orders = await Promise.allSettled([spawn(inTransaction, 'pen', 1000), spawn(inTransaction, 'ink', 4)])
console.log(`${orders[0].reason.message}; ${orders[1].value}`)
console.log(db.prepare('select group_concat(count) as counts from stock').get().counts)

for (const connection of connections) connection.close()
rmSync(folder, { recursive: true })
