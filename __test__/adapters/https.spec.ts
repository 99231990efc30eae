// The adapter greenlets/http for servers of node:https, and for those of node:http2 that speak both versions over TLS.

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import test, { type ExecutionContext } from 'ava'
import { greenlets, type Listener } from '../../js/adapters/http.ts'
import { Greenlet, sleep, wait } from '../../js/index.ts'
import { pending, until } from '../helpers/promises.ts'
import { others } from './server.ts'

/** The key and its certificate, which it has signed itself, for localhost. */
const PEM = readFileSync(new URL('../fixtures/localhost.pem', import.meta.url))
const TLS = { key: PEM, cert: PEM }

test.afterEach.always('no greenlet is left', async () => until(() => others().length === 0))

async function listen(t: ExecutionContext, server: https.Server | http2.Http2SecureServer): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    if ('closeAllConnections' in server) server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

function request(port: number, path: string, options: https.RequestOptions = {}) {
  return https.request({ host: '127.0.0.1', port, path, ca: PEM, ...options }).on('error', () => {})
}

async function ask(port: number, path: string, options?: https.RequestOptions): Promise<string> {
  const asked = request(port, path, options).end()
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) text += chunk
  return `${response.statusCode} ${text}`
}

test.serial('https: requests wait at the same time, on connections that are used again', async (t) => {
  const gate = pending<void>()
  const listener = greenlets((req, res) => {
    sleep(1)
    wait(gate.promise)
    const { encrypted } = req.socket as TLSSocket
    res.end(`${req.greenlet.name} ${req.greenlet === Greenlet.current} ${encrypted}`)
  })
  const port = await listen(t, https.createServer(TLS, listener))
  const agent = new https.Agent({ keepAlive: true, maxSockets: 4 })
  const answers = [...'abcd'].map((path) => ask(port, `/${path}`, { agent }))
  await until(() => listener.living.size === 4)
  const later = ask(port, '/e', { agent })
  gate.resolve()
  t.deepEqual(
    await Promise.all([...answers, later]),
    [...'abcde'].map((path) => `200 GET /${path} true true`),
  )
  agent.destroy()
})

test.serial('https: the body is read by waits, and a client that disconnects ends its greenlet', async (t) => {
  const log: string[] = []
  const port = await listen(
    t,
    https.createServer(
      TLS,
      greenlets((req, res) => {
        if (req.method === 'POST') {
          const body = req.setEncoding('utf8')[Symbol.asyncIterator]() as AsyncIterator<string>
          let length = 0
          for (let chunk = wait(body.next()); !chunk.done; chunk = wait(body.next())) length += chunk.value.length
          res.end(`${length}`)
          return
        }
        try {
          sleep(1e6)
        } finally {
          log.push('finally')
        }
      }),
    ),
  )
  const upload = request(port, '/', { method: 'POST' }).end('x'.repeat(200_000))
  const [response] = (await once(upload, 'response')) as [IncomingMessage]
  t.is(String(await response.setEncoding('utf8').toArray()), '200000')

  const client = request(port, '/').end()
  await until(() => others().length === 1)
  client.destroy()
  await until(() => log.length === 1 && others().length === 0)
  t.deepEqual(log, ['finally'])
})

test.serial('http2 over TLS: both versions are served by one listener', async (t) => {
  const listener: Listener<http2.Http2ServerRequest, http2.Http2ServerResponse> = greenlets((req, res) => {
    sleep(1)
    res.end(`${req.greenlet.name} ${req.httpVersion}`)
  })
  const port = await listen(t, http2.createSecureServer({ ...TLS, allowHTTP1: true }, listener))
  t.is(await ask(port, '/old', { agent: false }), '200 GET /old 1.1')
  const client = http2.connect(`https://127.0.0.1:${port}`, { ca: PEM })
  const stream = client.request({ ':path': '/new' }).setEncoding('utf8')
  t.is(String(await stream.toArray()), 'GET /new 2.0')
  client.close()
  await listener.close()
})
