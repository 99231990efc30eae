// Streams that are made in JavaScript, below connections of TLS and HTTP/2. Greenlets are suspended in the middle of what a connection
// reads. Each program runs in its own process, because a mistake here is a crash.

import test from 'ava'
import { makePrints } from './helpers/prints.ts'

const HEAD = `
  const http = await import('node:http')
  const http2 = await import('node:http2')
  const tls = await import('node:tls')
  const { Duplex } = await import('node:stream')
  new Greenlet(() => {}).switch()
  const turns = async () => { for (let i = 0; i < 4; i++) { await new Promise((r) => setTimeout(r, 3)); gc() } }
  class Side extends Duplex { queue = []; _read() {} _write(data, encoding, done) { this.queue.push(data); done() } }
  const [below, above] = [new Side(), new Side()]
  // What the client has written, as one chunk.
  const up = () => { if (above.queue.length > 0) below.push(Buffer.concat(above.queue.splice(0))) }
  const down = () => { for (const data of below.queue.splice(0)) above.push(data) }
  const pump = async () => { for (let i = 0; i < 6; i++) { await turns(); up(); down() } }
  const psk = Buffer.from('abcdef')
  const options = { ciphers: 'PSK', minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }
  const handshake = async (below, above, pump) => {
    const server = new tls.TLSSocket(below, { ...options, isServer: true, pskCallback: () => psk })
    const client = tls.connect({ ...options, socket: above, checkServerIdentity: () => undefined, pskCallback: () => ({ psk, identity: 'me' }) })
    for (const socket of [server, client]) socket.on('error', (error) => console.log(error.code))
    await pump()
    return { server, client }
  }
  const leave = () => { if (Greenlet.current !== main) main.switch() }
`

/** A macro: the program ends without an error and prints this. */
const prints = makePrints({ head: HEAD, flags: ['--expose-gc'] })

test(
  'a session of HTTP/2 reads more data when a greenlet that is suspended in what it reads goes on',
  prints,
  `
  const server = http2.createServer((request, response) => {
    request.on('data', (data) => { console.log(String(data)); leave() })
    request.on('end', () => { console.log('ended'); response.end('hi') })
  })
  server.emit('connection', below)
  const client = http2.connect('http://localhost', { createConnection: () => above })
  const request = client.request({ ':path': '/', ':method': 'POST' })
  await pump()
  request.write('one'); request.write('two'); await turns()
  const g = new Greenlet(up)
  g.switch()
  request.write('three'); await turns()
  const more = Buffer.concat(above.queue.splice(0))
  new Greenlet(() => below.push(more)).switch()
  await turns()
  console.log('resumed')
  while (!g.dead) g.switch()
  await turns()
  request.end(); await pump()
  process.exit()`,
  'one\nresumed\ntwo\nthree\nended\n',
)

test(
  'a TLS connection reads more data when a greenlet that is suspended in what it reads goes on',
  prints,
  `
  const { server, client } = await handshake(below, above, pump)
  let got = 0
  server.on('data', (data) => { got += data.length; leave() })
  await turns()
  client.write('a'.repeat(40_000)); await turns()
  const g = new Greenlet(up)
  g.switch()
  client.write('b'.repeat(40_000)); await turns()
  for (const data of above.queue.splice(0)) below.push(data)
  below.push(null); await turns()
  console.log(got < 40_000, g.dead)
  while (!g.dead) g.switch()
  await turns()
  console.log(got)
  process.exit()`,
  'true false\n80000\n',
)

test(
  'a parser of HTTP over such a TLS connection is not given away while a greenlet is suspended in it',
  prints,
  `
  const served = []
  const server = http.createServer((request, response) => {
    served.push(request.url)
    leave()
    response.end()
  })
  const connect = async () => {
    const [below, above] = [new Side(), new Side()]
    const up = () => { for (const data of above.queue.splice(0)) below.push(data) }
    const pump = async () => { for (let i = 0; i < 6; i++) { await turns(); up(); for (const data of below.queue.splice(0)) above.push(data) } }
    const sockets = await handshake(below, above, pump)
    server.emit('connection', sockets.server)
    await turns()
    return { ...sockets, up }
  }
  const first = await connect()
  first.client.write('GET /first HTTP/1.1\\r\\nHost: a\\r\\n\\r\\nGET /second HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n')
  await turns()
  const g = new Greenlet(first.up)
  g.switch()
  first.server.destroy()
  await turns()
  for (let i = 0; i < 3; i++) {
    const other = await connect()
    other.client.write('GET /other HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n')
    await turns()
    other.up()
    await turns()
  }
  while (!g.dead) g.switch()
  await turns()
  console.log(served.join(' '))
  process.exit()`,
  '/first /other /other /other\n',
)

test(
  'a stream is given data by a callback of its own connection, as in plain Node.js',
  prints,
  `
  const { server, client } = await handshake(below, above, pump)
  const got = []
  server.on('data', (data) => { got.push(String(data)); if (got.length === 1) up() })
  await turns()
  client.write('one'); await turns()
  const first = above.queue.splice(0)
  client.write('two'); await turns()
  new Greenlet(() => { for (const data of first) below.push(data) }).switch()
  await turns()
  console.log(got.join(' '), process.noDeprecation)
  process.exit()`,
  'one two undefined\n',
)
