// Handlers of node:http that run on the stack of a greenlet, because the greenlet gives data to a socket made in JavaScript. The
// parser in C++ calls them. While such a handler is suspended, Node.js would give the parser to another connection or delete it. Each
// program runs in its own process, because a mistake here is a crash.

import test from 'ava'
import { printed, runProgram } from './helpers/program.ts'

/**
 * A macro: the program ends without an error or a warning, and prints this. `node:http` is loaded before the first greenlet, and after
 * it.
 */
const prints = test.macro(async (t, source: string, stdout: string) => {
  for (const load of [
    `globalThis.http = await import('node:http')\n${FIRST_GREENLET}`,
    `${FIRST_GREENLET}\nglobalThis.http = await import('node:http')`,
  ]) {
    const flags = ['--expose-gc', '--pending-deprecation']
    const ending = await runProgram(`${load}\n${PRELUDE}\n${source}`, { flags, before: WARNINGS })
    t.deepEqual(ending, printed(`${stdout}\n`), load)
  }
})

const WARNINGS = `process.on('warning', (warning) => console.log(warning.name, warning.message))`
const FIRST_GREENLET = 'new Greenlet(() => {}).switch()'

/**
 * `fill` fills Node's list of free parsers, so that the next parser that becomes free is deleted. `reuse` takes parsers and memory.
 */
const PRELUDE = `
const { Duplex } = await import('node:stream')
const turns = async () => { for (let i = 0; i < 4; i++) { await new Promise((r) => setTimeout(r, 3)); gc() } }
class Socket extends Duplex {
  sent = ''
  _read() {}
  _write(data, encoding, done) { this.sent += data; done() }
  setTimeout() {} setNoDelay() {} setKeepAlive() {} ref() {} unref() {}
}
const log = []
const server = http.createServer((req, res) => {
  log.push(req.url)
  req.on('close', () => log.push(req.url + ' closed'))
  if (Greenlet.current !== main) main.switch()
  res.end('x')
})
const connect = async () => { const socket = new Socket(); server.emit('connection', socket); await turns(); return socket }
const ask = async (path, onResponse) => {
  const socket = new Socket()
  http.request({ path, createConnection: () => socket }, onResponse).on('error', (e) => log.push(path + ' ' + e.code)).end()
  await turns()
  return socket
}
const push = (socket, data) => { const g = new Greenlet(() => { socket.push(data) }, { name: 'pusher' }); g.switch(); return g }
const two = (a, b) => ['GET ' + a, 'GET ' + b].map((line) => line + ' HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n').join('')
const sockets = []
const reuse = async () => { for (let i = 0; i < 2000; i++) { const s = new Socket(); sockets.push(s); server.emit('connection', s) } await turns() }
const fill = async () => { http.setMaxIdleHTTPParsers(1); const [a, b] = [await connect(), await connect()]; a.destroy(); b.destroy(); await turns() }
`

test(
  'a parser is not deleted while a handler of a request is suspended in it',
  prints,
  `
  const socket = await connect()
  await fill()
  const g = push(socket, two('/a', '/b'))
  socket.destroy()
  await turns()
  await reuse()
  g.switch()
  await turns()
  console.log(log.join(), g.dead)
  process.exit()`,
  '/a,/a closed true',
)

test(
  'a parser is not given to the next connection while a handler is suspended in it',
  prints,
  `
  const socket = await connect()
  const g = push(socket, two('/a', '/b'))
  socket.destroy()
  await turns()
  const next = await connect()
  next.push('GET /c HTTP/1.1\\r\\nHost: h\\r\\n')
  g.switch()
  next.push('\\r\\n')
  await turns()
  console.log(log.join(), g.dead, next.sent.slice(0, 15))`,
  '/a,/a closed,/c,/c closed true HTTP/1.1 200 OK',
)

test(
  "a client's parser is not given to the next connection while a handler of a response is suspended in it",
  prints,
  `
  const socket = await ask('/a', (res) => { log.push('/a ' + res.statusCode); main.switch() })
  const g = push(socket, 'HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\n\\r\\nabc')
  socket.destroy()
  await turns()
  const next = await ask('/b', (res) => res.on('data', (data) => log.push('/b ' + data)).on('end', () => log.push('/b end')))
  next.push('HTTP/1.1 200 OK\\r\\nContent-Len')
  g.switch()
  next.push('gth: 2\\r\\n\\r\\nxy')
  await turns()
  console.log(log.join(), g.dead)`,
  '/a 200,/b xy,/b end true',
)

test(
  'a body that ends with its connection is complete, although the socket closes while its handler is suspended',
  prints,
  `
  const socket = await ask('/a', (res) => {
    res.on('data', (data) => { log.push(String(data)); main.switch() })
    res.on('end', () => log.push('end')).on('error', (e) => log.push(e.code))
  })
  socket.push('HTTP/1.1 200 OK\\r\\n\\r\\n')
  await turns()
  const g = push(socket, 'all')
  socket.push(null)
  await turns()
  socket.destroy()
  await turns()
  g.switch()
  await turns()
  console.log(log.join(), g.dead)`,
  'all,end true',
)

test(
  'a handler that waits with its connection open is followed by the next request',
  prints,
  `
  const socket = await connect()
  const g = push(socket, two('/a', '/b'))
  await turns()
  g.switch()
  await turns()
  g.switch()
  await turns()
  console.log(log.join(), g.dead, socket.sent.match(/200 OK/g).length)
  process.exit()`,
  '/a,/b,/a closed,/b closed true 2',
)

test(
  'other stacks cannot give data to a parser in which a handler is suspended, and the error says so',
  prints,
  `
  const socket = await connect()
  const g = push(socket, two('/a', '/b'))
  try { socket.push(two('/c', '/d')) } catch (error) { console.log(error.code, error.message) }
  g.kill()
  await turns()
  const next = await connect()
  const other = push(next, two('/e', '/f'))
  other.switch()
  other.switch()
  console.log(log.join(), g.dead, other.dead)
  process.exit()`,
  "ERR_GREENLET_IN_USE the HTTP parser cannot read this data: greenlet 'pusher' is inside of a callback of the same connection, which has " +
    'not returned; give the socket more data after that\n/a,/e,/f true true',
)

test(
  'a server with suspended handlers finds its idle connections',
  prints,
  `
  const socket = await connect()
  const g = push(socket, two('/a', '/b'))
  socket.destroy()
  await turns()
  server.closeIdleConnections()
  g.switch()
  await turns()
  await fill()
  server.closeIdleConnections()
  server.closeAllConnections()
  console.log(log.join(), g.dead)
  process.exit()`,
  '/a,/a closed true',
)
