/**
 * An SQL function that fetches. SQLite calls it for each row and wants the value at once; the query itself is synchronous. In a greenlet
 * the function waits inside of SQLite, and the event loop goes on. For Node.js 22 and later.
 */

import { DatabaseSync } from 'node:sqlite'
import { spawn } from '../../js/index.ts'
import { priceOf } from './service.ts'

const db = new DatabaseSync(':memory:')
db.exec(`
  create table stock (item text, count int);
  insert into stock values ('pen', 10), ('book', 2), ('ink', 3);
`)
db.function('price', (item) => priceOf(item))

const rows = await spawn(function query() {
  return db.prepare('select item, count * price(item) as value from stock order by value').all()
})
for (const { item, value } of rows) console.log(`${item}: ${value}`)
db.close()
