// Calls of Node.js in which C++ uses a port, a database or a statement, while the JavaScript that it calls is suspended. Without
// protection, the event loop would free the object meanwhile. Each program runs in its own process, because a mistake here is a crash.

import test from 'ava'
import { type Ending, printed, runProgram } from './helpers/program.ts'

/** A macro: the program ends without an error and prints this. */
const prints = test.macro(async (t, source: string, stdout: string) => {
  const ending: Ending = await runProgram(`${PRELUDE}\n${source}`, { flags: ['--expose-gc'] })
  t.deepEqual(ending, printed(`${stdout}\n`))
})

/** `turns` lets the event loop close handles, and collects what is free. `reuse` allocates where a freed port was. */
const PRELUDE = `
const threads = await import('node:worker_threads')
const { MessageChannel, BroadcastChannel, Worker, receiveMessageOnPort } = threads
const turns = async () => { for (let i = 0; i < 5; i++) { await new Promise((r) => setTimeout(r, 3)); gc() } }
const reuse = () => Array.from({ length: 2000 }, () => new MessageChannel())
const lazy = () => ({ get x() { main.switch(); return 1 } })
const post = (port, message = lazy(), ...more) => { const g = new Greenlet(() => port.postMessage(message, ...more), { name: 'poster' }); g.switch(); return g }
const error = (call) => { try { return call() } catch (e) { return [e.name, e.code, e.message].join(' ') } }
const builtin = (name) => process.getBuiltinModule?.(name)
const sqlite = builtin('node:sqlite')
`

for (const [what, close] of Object.entries({
  'this end': 'port1.close()',
  'the other end': 'port2.close()',
  'both ends': 'port1.close(); port2.close()',
  'a transfer of this end': 'other.port1.postMessage(port1, [port1])',
  'a transfer of the other end': 'other.port1.postMessage(port2, [port2])',
})) {
  test(
    `postMessage() returns after ${what} closed the port`,
    prints,
    `
    const all = [], other = new MessageChannel()
    for (let i = 0; i < 100; i++) {
      const { port1, port2 } = new MessageChannel()
      all.push(post(port1))
      ${close}
    }
    await turns()
    reuse()
    for (const g of all) g.switch()
    console.log(all.every((g) => g.dead))
    process.exit()`,
    'true',
  )
}

test(
  'a message arrives as it was when its getters returned, also when many greenlets post to one port',
  prints,
  `
  const { port1, port2 } = new MessageChannel()
  const all = Array.from({ length: 5 }, (_, i) => post(port1, { i, get x() { return main.switch() } }))
  await turns()
  for (const g of all.toReversed()) g.switch('late')
  const seen = []
  for (let m; (m = receiveMessageOnPort(port2)); ) seen.push(m.message.i + m.message.x)
  console.log(seen.join())`,
  '4late,3late,2late,1late,0late',
)

test(
  'errors, transfers and results of postMessage() in a greenlet are those of Node.js',
  prints,
  `
  const { port1, port2 } = new MessageChannel()
  const closed = new MessageChannel().port1
  closed.close()
  await turns()
  const moved = new MessageChannel()
  const run = () => [
    error(() => port1.postMessage({ f() {} })),
    error(() => port1.postMessage({ get x() { throw new RangeError('own') } })),
    error(() => port1.postMessage({}, [port1])),
    error(() => port1.postMessage({}, [moved.port1, moved.port1])),
    error(() => port1.postMessage({}, 5)),
    error(() => closed.postMessage({})),
    error(() => MessagePort.prototype.postMessage.call({}, {})),
    error(() => port1.postMessage()),
    MessagePort.prototype.postMessage.name + MessagePort.prototype.postMessage.length,
    String(port1.postMessage({})),
    receiveMessageOnPort(port2) !== undefined,
  ].join('; ')
  const plain = run()
  let inside
  new Greenlet(() => { inside = run() }).switch()
  while (receiveMessageOnPort(port2));
  new Greenlet(() => port1.postMessage({ port: moved.port1 }, [moved.port1])).switch()
  moved.port2.postMessage('through')
  console.log(inside === plain, receiveMessageOnPort(receiveMessageOnPort(port2).message.port).message)
  if (inside !== plain) console.log(plain, inside)
  process.exit()`,
  'true through',
)

// Node 20 keeps such a port too.
const from22 = process.versions.node.startsWith('20.') ? test.skip : test
from22(
  'a port that cannot be kept alive is not left, and nothing was posted',
  prints,
  `
  const { port1, port2 } = new MessageChannel()
  threads.markAsUntransferable(port1)
  const g = new Greenlet(() => error(() => port1.postMessage(lazy())))
  console.log(g.switch().slice(0, 51), g.dead, receiveMessageOnPort(port2))`,
  "GreenletError ERR_GREENLET_FORBIDDEN greenlet 'main true undefined",
)

from22(
  'a port that was held when V8 ended the greenlet is not named later',
  prints,
  `
  const { runInThisContext } = await import('node:vm')
  const { port1 } = new MessageChannel()
  threads.markAsUntransferable(port1)
  globalThis.ended = new Greenlet(() => port1.postMessage({ get x() { for (;;); } }))
  console.log(error(() => runInThisContext('ended.switch()', { timeout: 50 })).slice(0, 32), ended.dead)
  globalThis.leave = () => main.switch()
  console.log(new Greenlet(() => error(() => runInThisContext('leave()', { timeout: 1000 }))).switch())`,
  `Error ERR_SCRIPT_EXECUTION_TIMEO true
GreenletError ERR_GREENLET_FORBIDDEN greenlet 'main' cannot be switched to from here, inside of a vm script or an evaluation with a time limit or breakOnSigint; switch after that has returned`,
)

test(
  'a BroadcastChannel may be closed while a greenlet posts to it',
  prints,
  `
  const all = []
  for (let i = 0; i < 50; i++) {
    const channel = new BroadcastChannel('c' + i)
    all.push(post(channel))
    channel.close()
  }
  await turns()
  reuse()
  for (const g of all) g.switch()
  console.log(all.every((g) => g.dead))
  process.exit()`,
  'true',
)

test(
  'a Worker may end while a greenlet posts to it',
  prints,
  `
  const workers = Array.from({ length: 4 }, () => new Worker('process.getBuiltinModule("worker_threads").parentPort.on("message", () => {})', { eval: true }))
  await Promise.all(workers.map((w) => new Promise((r) => w.once('online', r))))
  const all = workers.map((w) => post(w))
  await Promise.all(workers.map((w) => w.terminate()))
  await turns()
  reuse()
  for (const g of all) g.switch()
  console.log(all.every((g) => g.dead))
  process.exit()`,
  'true',
)

test(
  'the program may end while greenlets are inside of postMessage()',
  prints,
  `
  const all = Array.from({ length: 20 }, () => { const { port1 } = new MessageChannel(); const g = post(port1); port1.close(); return g })
  await turns()
  all[0].kill()
  console.log(all[0].dead)`,
  'true',
)

test(
  'the first greenlet does not keep the process alive',
  prints,
  `
  new Greenlet(() => {}).switch()
  console.log(process.getActiveResourcesInfo().filter((r) => /port/i.test(r)).length)`,
  '0',
)

const withSqlite = from22

/** Two greenlets that wait in the function `w` of a database. */
const DATABASE = `
const { DatabaseSync } = sqlite
const db = new DatabaseSync(':memory:')
db.exec('create table t(x); insert into t values (1), (2), (3)')
db.function('w', (x) => { main.switch(); return x * 10 })
const select = db.prepare('select w(x) as y from t')
const rows = (list) => list.map((r) => r.y).join()
const go = (g) => { for (let i = 0; i < 50 && !g.dead; i++) g.switch() }
const start = (run, name = 'reader') => { const g = new Greenlet(run, { name }); g.switch(); return g }
`

for (const [what, run] of Object.entries({
  all: 'db.prepare("select w(x) as y from t").all()',
  get: 'db.prepare("select w(x) as y from t").get()',
  run: 'db.prepare("update t set x = w(x)").run()',
  next: '[...db.prepare("select w(x) as y from t").iterate()]',
  exec: 'db.exec("select w(x) from t")',
})) {
  withSqlite(
    `a database is not closed while a greenlet waits in ${what}()`,
    prints,
    `${DATABASE}
    const g = start(() => ${run})
    await turns()
    console.log(error(() => db.close()))
    if (db[Symbol.dispose]) error(() => db[Symbol.dispose]())
    go(g)
    console.log(g.dead)
    db.close()
    console.log(error(() => db.exec('select 1')).includes('not open'))`,
    `GreenletError ERR_GREENLET_IN_USE the database cannot be closed: greenlet 'reader' is inside of ${what}(), which has not returned; close it after that\ntrue\ntrue`,
  )
}

withSqlite(
  'a statement is not run again while a greenlet waits in it; others are',
  prints,
  `${DATABASE}
  let first
  const g = start(() => { first = rows(select.all()) })
  for (const method of ['all', 'get', 'run']) console.log(error(() => select[method]()))
  console.log(error(() => [...select.iterate()]))
  const h = start(() => error(() => select.all()), 'other')
  let second
  const i = start(() => { second = rows(db.prepare('select w(x + 1) as y from t').all()) })
  go(i); go(g)
  console.log(first, second, h.dead, rows(db.prepare('select x as y from t').all()))`,
  [
    ...Array.from(
      { length: 4 },
      () =>
        "GreenletError ERR_GREENLET_IN_USE the statement cannot be used: greenlet 'reader' is inside of all(), which has not returned; use another statement, or wait until that has returned",
    ),
    '10,20,30 20,30,40 true 1,2,3',
  ].join('\n'),
)

withSqlite(
  'an aggregate, a statement from before the first greenlet, and a killed greenlet',
  prints,
  `${DATABASE}
  db.aggregate('total', { start: 0, step: (sum, x) => { main.switch(); return sum + x } })
  const g = start(() => error(() => db.prepare('select total(x) as y from t').all()))
  console.log(error(() => db.close()).split(':')[0])
  go(g)
  const old = start(() => select.all())
  console.log(error(() => db.close()).split(':')[0])
  old.kill()
  console.log(old.dead)
  db.close()`,
  [
    'GreenletError ERR_GREENLET_IN_USE the database cannot be closed',
    'GreenletError ERR_GREENLET_IN_USE no database can be closed',
    'true',
  ].join('\n'),
)

withSqlite(
  'a query in a spawned greenlet waits for the event loop',
  prints,
  `${DATABASE}
  db.function('slow', (x) => { sleep(5); return x + 1 })
  const all = [1, 2, 3].map((i) => spawn(() => rows(db.prepare('select slow(x * ' + i + ') as y from t').all())))
  console.log((await Promise.all(all)).join(' '))
  db.close()`,
  '2,3,4 3,5,7 4,7,10',
)

withSqlite(
  'an authorizer is not left',
  prints,
  `${DATABASE}
  if (db.setAuthorizer === undefined) { console.log('0 true'); process.exit() }
  let seen
  new Greenlet(() => {}).switch()
  db.setAuthorizer(() => { seen = error(() => main.switch()); return 0 })
  new Greenlet(() => db.prepare('select x from t')).switch()
  console.log(0, seen.includes('ERR_GREENLET_FORBIDDEN') && seen.includes('inside of an authorizer of node:sqlite'))`,
  '0 true',
)

withSqlite(
  'a changeset filter waits, and the database is not closed',
  prints,
  `${DATABASE}
  const copy = new DatabaseSync(':memory:')
  for (const d of [db, copy]) d.exec('create table k(id integer primary key, x)')
  const session = db.createSession()
  db.exec('insert into k values (1, 1)')
  const changes = session.changeset()
  const g = start(() => copy.applyChangeset(changes, { filter: () => { main.switch(); return true } }))
  await turns()
  console.log(error(() => copy.close()).includes('inside of applyChangeset()'))
  go(g)
  console.log(copy.prepare('select count(*) as y from k').get().y)
  copy.close()`,
  'true\n1',
)

withSqlite(
  'a tag store is used by one greenlet at a time',
  prints,
  `${DATABASE}
  if (db.createTagStore === undefined) { console.log('true true'); process.exit() }
  new Greenlet(() => {}).switch()
  const store = db.createTagStore(8)
  const g = start(() => store.all\`select w(x) as y from t\`)
  const refused = error(() => store.clear()).includes('the tag store cannot be used')
  go(g)
  console.log(refused, rows(store.all\`select x as y from t\`) === '1,2,3')`,
  'true true',
)

withSqlite(
  'the warning that node:sqlite is experimental is printed when the program uses it',
  prints,
  `
  const warned = []
  process.emitWarning = (text) => warned.push(text)
  new Greenlet(() => {}).switch()
  const { DatabaseSync } = await import('node:sqlite')
  new DatabaseSync(':memory:').exec('select 1')
  console.log(warned.every((text) => /SQLite/.test(text)), warned.length <= 1)`,
  'true true',
)

withSqlite(
  'an iterator from before the first greenlet is not left, and can be used',
  prints,
  `${DATABASE}
  let seen
  db.function('w', (x) => { seen = error(() => main.switch()); return x * 10 })
  const old = db.prepare('select w(x) as y from t').iterate()
  new Greenlet(() => old.next()).switch()
  console.log(seen.includes('ERR_GREENLET_FORBIDDEN'), old.next().value.y)`,
  'true 20',
)

// Node 20 itself needs to write to it at the end.
from22(
  'greenlets start where process is frozen',
  prints,
  `
  Object.freeze(process)
  console.log(new Greenlet(() => 'up').switch())`,
  'up',
)
