// PostgreSQL in greenlets: a pool, transactions, a cursor, a query that is killed, LISTEN. Plain functions, no `await`.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import pg from 'pg'
import { sleep, spawn, wait } from '../../dist/index.js'
import { iterate } from './iterate.mjs'

const pool = new pg.Pool({ connectionString: process.env.POSTGRES_URL, max: 5 })
const tables = { stock: `stock_${process.pid}` }

/** A connection for the time of `fn`. One that a killed greenlet was using, or was waiting for, never stays with it. */
function withClient(fn) {
  const coming = pool.connect()
  let client
  try {
    client = wait(coming)
  } catch (error) {
    coming.then(
      (late) => late.release(),
      () => {},
    )
    throw error
  }
  let whole = false
  try {
    const result = fn(client)
    whole = true
    return result
  } finally {
    // A statement may still run on it: end that too, without waiting.
    if (!whole) void pool.query('select pg_cancel_backend($1)', [client.processID])
    client.release(!whole)
  }
}

const query = (text, values) => withClient((client) => wait(client.query(text, values)).rows)

function transaction(fn) {
  return withClient((client) => {
    wait(client.query('begin'))
    const result = fn(client)
    wait(client.query('commit'))
    return result
  })
}

function* cursor(client, text) {
  wait(client.query(`declare rows cursor for ${text}`))
  const read = async function* () {
    for (;;) {
      const { rows } = await client.query('fetch 100 from rows')
      yield* rows
      if (rows.length < 100) return
    }
  }
  yield* iterate(read())
}

const inGreenlets = (count, fn) => Promise.all(Array.from({ length: count }, (_, i) => spawn(fn, i)))

async function poolTest() {
  const answers = await inGreenlets(100, (i) => query('select $1::int * 2 as double', [i])[0].double)
  assert.deepEqual(
    answers,
    answers.map((_, i) => i * 2),
  )
}

async function transactionTest() {
  await pool.query(`create table ${tables.stock} (item text primary key, count int not null check (count >= 0))`)
  await pool.query(`insert into ${tables.stock} values ('pen', 25)`)
  const buy = () => {
    try {
      return transaction((client) => {
        const [{ count }] = wait(client.query(`select count from ${tables.stock} for update`)).rows
        wait(client.query(`update ${tables.stock} set count = $1`, [count - 1]))
        return count
      })
    } catch (error) {
      return error.code
    }
  }
  const sold = await inGreenlets(30, buy)
  // Each sees its own count; those for which nothing was left were rolled back.
  assert.deepEqual(
    sold.filter(Number.isInteger).sort((a, b) => a - b),
    Array.from({ length: 25 }, (_, i) => i + 1),
  )
  assert.equal(sold.filter((code) => code === '23514').length, 5)
  assert.equal((await pool.query(`select count from ${tables.stock}`)).rows[0].count, 0)
}

async function errorTest() {
  const error = await spawn(function report() {
    try {
      query('select 1 / 0')
    } catch (error) {
      return error
    }
  })
  assert.equal(error.code, '22012')
  assert.match(error.stack, /at query .*\n[^]*at report /)
}

async function cursorTest() {
  const sum = await spawn(() =>
    transaction((client) => {
      let total = 0
      for (const { n } of cursor(client, 'select generate_series(1, 1000) as n')) total += n
      return total
    }),
  )
  assert.equal(sum, 500_500)
  // A loop that is left early leaves the connection usable.
  const first = await spawn(() =>
    transaction((client) => {
      for (const { n } of cursor(client, 'select generate_series(1, 1000) as n')) {
        if (n === 7) return wait(client.query('select 7 as n')).rows[0].n
      }
    }),
  )
  assert.equal(first, 7)
}

async function killTest() {
  const asleep = () =>
    pool
      .query("select count(*)::int as n from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'")
      .then(({ rows }) => rows[0].n)
  const until = async (test) => {
    for (let tries = 0; !(await test()); tries++) {
      assert.notEqual(tries, 300)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  // Four in a query, the fifth connection is for us.
  const busy = Array.from({ length: 4 }, () => spawn(() => query('select pg_sleep(50)')))
  await until(async () => (await asleep()) === 4)
  const held = await pool.connect()
  const late = Array.from({ length: 3 }, () => spawn(() => query('select 1')))
  await spawn(() => sleep(20))
  // Three wait for a connection.
  assert.equal(pool.waitingCount, 3)
  for (const g of [...busy, ...late]) g.kill()
  held.release()
  const ends = await Promise.allSettled([...busy, ...late])
  assert.deepEqual(new Set(ends.map(({ reason }) => reason?.code)), new Set(['ERR_GREENLET_KILLED']))
  await until(async () => (await asleep()) === 0)
  // The pool still has all its connections to give.
  const clients = await Promise.all(Array.from({ length: 5 }, () => pool.connect()))
  assert.equal(pool.totalCount, 5)
  for (const client of clients) client.release()
  await poolTest()
}

async function listenTest() {
  const heard = spawn(() =>
    withClient((client) => {
      wait(client.query('listen news'))
      const notified = once(client, 'notification')
      spawn(() => query("select pg_notify('news', $1)", ['it rains']))
      const [{ payload }] = wait(notified)
      wait(client.query('unlisten news'))
      return payload
    }),
  )
  assert.equal(await heard, 'it rains')
}

try {
  for (const test of [poolTest, transactionTest, errorTest, cursorTest, killTest, listenTest]) await test()
} finally {
  await pool.query(`drop table if exists ${tables.stock}`)
  await pool.end()
}
console.log('ok')
