// The adapter of Hono: what facts.ts says of all adapters, and what only Hono has.

import http from 'node:http'
import { setTimeout } from 'node:timers/promises'
import { getRequestListener } from '@hono/node-server'
import test, { type ExecutionContext } from 'ava'
import { Hono } from 'hono'
import { contextStorage, getContext } from 'hono/context-storage'
import { HTTPException } from 'hono/http-exception'
import { LinearRouter } from 'hono/router/linear-router'
import { PatternRouter } from 'hono/router/pattern-router'
import { RegExpRouter } from 'hono/router/reg-exp-router'
import { TrieRouter } from 'hono/router/trie-router'
import { streamSSE } from 'hono/streaming'
import door, { greenlets } from '../../js/adapters/hono.ts'
import { Greenlet, sleep, spawn, wait } from '../../js/index.ts'
import { until } from '../helpers/promises.ts'
import { facts } from './facts.ts'
import { hono } from './kits.ts'
import { listen, others, type Site } from './server.ts'

facts(hono)

const serve = (t: ExecutionContext, app: Hono): Promise<Site> =>
  listen(t, http.createServer(getRequestListener(app.fetch)))
const textOf = async (app: Hono, path: string): Promise<string> => (await app.request(path)).text()

test('hono: the default export is greenlets()', (t) => t.is(door, greenlets))

for (const [name, router] of Object.entries({
  SmartRouter: undefined,
  RegExpRouter: () => new RegExpRouter<never>(),
  TrieRouter: () => new TrieRouter<never>(),
  LinearRouter: () => new LinearRouter<never>(),
  PatternRouter: () => new PatternRouter<never>(),
})) {
  test.serial(`hono: the handlers that match are found with the ${name}`, async (t) => {
    const app = new Hono(router && { router: router() })
    app.use(greenlets())
    app.use('/orders/*', async (_c, next) => {
      await setTimeout(1)
      await next()
    })
    app.get('/orders/:id', async (_c, next) => next())
    app.get('/orders/:id', (c) =>
      c.text(`${wait(setTimeout(1, c.req.param('id')))} ${c.var.greenlet === Greenlet.current}`),
    )
    app.get('/plain', (c) => c.text(wait(setTimeout(1, 'plain'))))
    for (let i = 0; i < 2; i++) {
      t.is(await textOf(app, '/orders/7'), '7 true')
      t.is(await textOf(app, '/plain'), 'plain')
    }
    t.is((await app.request('/nothing')).status, 404)
  })
}

test.serial('hono: a context that is none of Hono 4 is an error that says so', async (t) => {
  const middleware = greenlets()
  const c = { req: { method: 'GET', path: '/', routeIndex: 0, raw: new Request('http://localhost/') } }
  await t.throwsAsync(Promise.resolve(middleware(c as never, () => Promise.resolve())), {
    code: 'ERR_GREENLET_INVALID_ARG',
    message: /is for Hono 4/,
  })
})

test.serial('hono: without a server, the signal of the request ends its greenlets', async (t) => {
  const requests = greenlets()
  const app = new Hono()
  const log: string[] = []
  app.use(requests)
  app.onError((error, c) => (log.push(`onError got ${error.name}`), c.text('failed', 500)))
  app.get('/', (c) => {
    try {
      sleep(1e6)
    } finally {
      log.push('finally')
    }
    return c.text('not here')
  })
  app.get('/short', (c) => (sleep(1), c.text('short')))
  t.is(await textOf(app, '/short'), 'short')
  const controller = new AbortController()
  const answer = app.request('/', { signal: controller.signal })
  await until(() => requests.living.size === 1)
  controller.abort()
  t.is((await answer).status, 499)
  t.deepEqual(log, ['finally'])
  t.is(requests.living.size, 0)
  await requests.close()
})

test.serial('hono: next() is a promise of all that follows, for plain and async functions', async (t) => {
  const app = new Hono()
  app.use(greenlets())
  app.use((c, next) => {
    wait(next())
    c.header('x-outer', c.res.headers.get('x-inner') ?? 'none')
    return undefined as never
  })
  app.use(async (c, next) => {
    await next()
    c.header('x-inner', await c.res.clone().text())
  })
  app.get('/', (c) => c.text(wait(setTimeout(1, 'answer'))))
  const response = await app.request('/')
  t.deepEqual([await response.text(), response.headers.get('x-outer')], ['answer', 'answer'])
})

test.serial('hono: onError of the app and of an app in it, HTTPException, and c.error', async (t) => {
  const log: unknown[] = []
  const app = new Hono()
  app.use(async (c, next) => {
    await next()
    log.push(c.error?.message)
  })
  app.use(greenlets())
  app.onError((error, c) => c.text(`outer: ${error.message}`, error instanceof HTTPException ? error.status : 500))
  app.get('/teapot', () => {
    sleep(1)
    throw new HTTPException(418, { message: 'teapot' })
  })
  const inner = new Hono().onError((error, c) => c.text(`inner: ${error.message}`, 500))
  inner.use(async (_c, next) => (await Promise.resolve(), next()))
  inner.get('/fails', () => (sleep(1), wait(Promise.reject<never>(new Error('of inner')))))
  inner.get('/', (c) => (sleep(1), c.text('inner')))
  app.route('/inner', inner)
  const teapot = await app.request('/teapot')
  t.deepEqual([teapot.status, await teapot.text()], [418, 'outer: teapot'])
  t.is(await textOf(app, '/inner/fails'), 'inner: of inner')
  t.is(await textOf(app, '/inner'), 'inner')
  t.deepEqual(log, ['teapot', 'of inner', undefined])
})

test.serial('hono: without onError, refused requests are answered with their status', async (t) => {
  const requests = greenlets({ limit: 1 })
  const app = new Hono()
  app.use(requests)
  app.get('/', (c) => (sleep(20), c.text('first')))
  const first = app.request('/')
  const second = await app.request('/')
  t.deepEqual([second.status, second.headers.get('retry-after')], [503, '1'])
  t.is((await first).status, 200)
})

test.serial('hono: getContext() is that of the request', async (t) => {
  const app = new Hono()
  app.use(contextStorage())
  app.use(greenlets())
  app.use(async (_c, next) => (await setTimeout(1), next()))
  app.get('/:id', (c) => (sleep(1), c.text(`${getContext() === c} ${getContext().req.param('id' as never)}`)))
  const ids = Array.from({ length: 30 }, (_, i) => `${i}`)
  t.deepEqual(
    await Promise.all(ids.map((id) => textOf(app, `/${id}`))),
    ids.map((id) => `true ${id}`),
  )
})

test.serial('hono: uploads are read by waits, and events are written by a greenlet', async (t) => {
  const app = new Hono()
  app.use(greenlets())
  app.post('/upload', (c) => {
    const { file } = wait(c.req.parseBody()) as { file: File }
    return c.text(`${file.name} ${wait(file.text()).length}`)
  })
  app.get('/events', (c) => {
    sleep(1)
    return streamSSE(c, (stream) =>
      spawn(() => {
        for (let i = 0; i < 3; i++) {
          wait(stream.writeSSE({ data: `${i}` }))
          sleep(1)
        }
      }),
    )
  })
  const site = await serve(t, app)
  const { port } = site.server.address() as { port: number }
  const form = new FormData()
  form.set('file', new Blob(['x'.repeat(100_000)]), 'x.txt')
  const uploaded = await fetch(`http://127.0.0.1:${port}/upload`, { method: 'POST', body: form })
  t.is(await uploaded.text(), 'x.txt 100000')
  t.is((await site.ask('/events')).text, 'data: 0\n\ndata: 1\n\ndata: 2\n\n')
})

test.serial('hono: handlers that call next() twice or fail after next() do not end the server', async (t) => {
  const app = new Hono()
  app.use(greenlets())
  app.onError((error, c) => c.text(error.message, 500))
  app.use('/twice', (_c, next) => (wait(next()), sleep(1), next()))
  app.use('/after', (_c, next) => {
    wait(next())
    throw new Error('after next()')
  })
  app.get('/*', (c) => (sleep(1), c.text('answer')))
  t.is(await textOf(app, '/twice'), 'next() called multiple times')
  t.is(await textOf(app, '/after'), 'after next()')
  t.is(await textOf(app, '/'), 'answer')
})

test.serial('hono: a plain handler around others ends with them when the client leaves', async (t) => {
  const log: string[] = []
  const app = new Hono()
  app.use(greenlets())
  app.use((_c, next) => {
    try {
      wait(next())
      log.push('not here')
    } finally {
      log.push('outer')
    }
    return undefined as never
  })
  app.get('/', () => {
    try {
      sleep(1e6)
    } finally {
      log.push('inner')
    }
    return new Response()
  })
  const site = await serve(t, app)
  const client = site.visit('/')
  await until(() => others().length === 1)
  client.destroy()
  await until(() => others().length === 0)
  t.deepEqual(log, ['inner', 'outer'])
})
