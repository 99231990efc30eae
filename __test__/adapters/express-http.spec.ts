// HTTP features, used by handlers that wait.

import { once } from 'node:events'
import http from 'node:http'
import { setTimeout } from 'node:timers/promises'
import test from 'ava'
import express from 'express'
import { greenlets } from '../../js/adapters/express.ts'
import { sleep, wait } from '../../js/index.ts'
import { until } from '../helpers/promises.ts'
import { others, serve } from './server.ts'

test.afterEach.always('no greenlet is left', async (t) => {
  await until(() => others().length === 0)
  t.deepEqual(others(), [])
})

test.serial('uploads of 1 MB arrive whole, as JSON and as a stream', async (t) => {
  const site = await serve(t, (app) => {
    app.use(greenlets())
    app.post('/json', express.json({ limit: '2mb' }), (req, res) => {
      const { items } = req.body as { items: string[] }
      res.json([
        items.length,
        items.map((item, i) => (i % 1000 === 0 && sleep(1), item.length)).reduce((a, b) => a + b),
      ])
    })
    app.post('/stream', (req, res) => {
      let length = 0
      const chunks = req[Symbol.asyncIterator]() as AsyncIterator<Buffer>
      for (let chunk = wait(chunks.next()); !chunk.done; chunk = wait(chunks.next())) length += chunk.value.length
      res.json(length)
    })
  })
  const body = JSON.stringify({ items: Array.from({ length: 10_000 }, () => 'x'.repeat(100)) })
  t.true(body.length > 1e6)
  const uploads = Array.from({ length: 8 }, (_, i) => site.ask(i % 2 ? 'POST /json' : 'POST /stream', body))
  for (const [i, { text }] of (await Promise.all(uploads)).entries()) {
    t.is(text, i % 2 ? '[10000,1000000]' : String(body.length))
  }
  t.is((await site.ask('POST /json', '{"bad"')).status, 400)
})

test.serial('a handler streams a body and waits between its pieces and for drains', async (t) => {
  let drains = 0
  const piece = 'x'.repeat(64 * 1024)
  const site = await serve(t, (app) => {
    app.use(greenlets())
    app.get('/', (_req, res) => {
      for (let i = 0; i < 40; i++) {
        if (i % 10 === 0) sleep(1)
        if (res.write(piece)) continue
        drains++
        wait(once(res, 'drain'))
      }
      res.end()
    })
  })
  t.is((await site.ask('/')).text.length, 40 * piece.length)
  t.true(drains > 0)
})

test.serial('HEAD requests work', async (t) => {
  const site = await serve(t, (app) => {
    app.use(greenlets())
    app.get('/', (req, res) => void res.send(wait(setTimeout(1, `${req.method} ${req.greenlet.name}`))))
  })
  const { status, headers, text } = await site.ask('HEAD /')
  t.is(status, 200)
  t.is(headers['content-length'], String('HEAD HEAD /'.length))
  t.is(text, '')
})

test.serial('each request of a keep-alive connection has its own greenlets', async (t) => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  let connections = 0
  const seen = new Set<object>()
  const site = await serve(t, (app) => {
    app.use(greenlets())
    app.get('/:n', (req, res) => {
      seen.add(req.greenlet)
      sleep(1)
      res.send(req.params.n)
    })
  })
  site.server.on('connection', () => connections++)
  const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => site.ask(`/${n}`, undefined, agent)))
  t.deepEqual(
    answers.map(({ text }) => text),
    Array.from({ length: 20 }, (_, n) => String(n)),
  )
  t.is(connections, 1)
  t.is(seen.size, 20)
})

test.serial('requests that are pipelined on one connection get their own answers', async (t) => {
  const site = await serve(t, (app) => {
    app.use(greenlets())
    app.get('/:ms', (req, res) => (sleep(Number(req.params.ms)), void res.send(`slept ${req.params.ms}`)))
  })
  const socket = (await import('node:net')).connect((site.server.address() as { port: number }).port, '127.0.0.1')
  socket.write('GET /30 HTTP/1.1\r\nHost: x\r\n\r\nGET /1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  let text = ''
  for await (const chunk of socket.setEncoding('utf8')) text += chunk
  t.regex(text, /slept 30[^]*slept 1$/)
})
