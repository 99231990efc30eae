// The adapter of h3: what facts.ts says of all adapters, and what only h3 has.

import http from 'node:http'
import { setTimeout } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { createEventStream, defineHandler, H3, type H3Config, HTTPError, readBody } from 'h3'
import { toNodeHandler } from 'h3/node'
import door, { greenlets } from '../../js/adapters/h3.ts'
import { Greenlet, sleep, spawn, wait } from '../../js/index.ts'
import { turn, until } from '../helpers/promises.ts'
import { facts } from './facts.ts'
import { h3 } from './kits.ts'
import { listen, others, type Site } from './server.ts'

facts(h3)

const serve = (t: ExecutionContext, app: H3): Promise<Site> =>
  listen(t, http.createServer(toNodeHandler(app) as http.RequestListener))
const textOf = async (app: H3, path: string): Promise<string> => (await app.request(path)).text()

test('h3: the default export is greenlets()', (t) => t.is(door, greenlets))

test.serial('h3: handlers and middleware of each form may wait', async (t) => {
  const app = new H3()
  app.register(greenlets())
  const log: string[] = []
  const note = (what: string): void => {
    sleep(1)
    log.push(Greenlet.current === Greenlet.main ? `${what} on main` : what)
  }
  app.use(async (_event, next) => {
    const body = await next()
    log.push('after next()')
    return body
  })
  app.use((_event, next) => {
    note('middleware')
    const body = wait(next())
    note('after wait(next())')
    return body
  })
  app.use('/route/**', () => note('for a route'))
  app.use(async () => void (await Promise.resolve()), { method: 'GET' })
  app.get('/route/:id', (event) => `${event.context.params!['id']} ${event.context.greenlet === Greenlet.current}`, {
    middleware: [
      async (_event, next) => (await Promise.resolve(), next()),
      (_event, next) => (note('of the route'), next()),
    ],
  })
  app.get('/object', defineHandler({ handler: () => (note('object'), { sum: 3 }) }))
  app.all('/response', () => (note('response'), new Response('response', { status: 201 })))
  app.mount('/fetch', (request: Request) => (note('fetch'), new Response(new URL(request.url).pathname)))
  t.is(await textOf(app, '/route/7'), '7 true')
  t.deepEqual(log.splice(0), ['middleware', 'for a route', 'of the route', 'after wait(next())', 'after next()'])
  t.is((await textOf(app, '/object')).replaceAll(/\s/g, ''), '{"sum":3}')
  t.is((await app.request('/response')).status, 201)
  t.is(await textOf(app, '/fetch/path'), '/path')
  t.deepEqual(
    log.filter((line) => line.includes('on main')),
    [],
  )
  t.is((await app.request('/nothing')).status, 404)
})

test.serial("h3: the app's hooks may wait, and onError gets an HTTPError with the cause", async (t) => {
  const log: string[] = []
  const app = new H3({
    silent: true,
    onRequest: () => (sleep(1), void log.push('onRequest')),
    onResponse: ({ status }) => (sleep(1), void log.push(`onResponse ${status}`)),
    onError: (error) => (sleep(1), void log.push(`onError ${error.status} ${(error.cause as Error).message}`)),
  })
  app.register(greenlets())
  app.get('/', () => (sleep(1), 'answer'))
  app.get('/fails', () => (sleep(1), wait(Promise.reject(new Error('of the handler')))))
  app.get('/teapot', () => {
    sleep(1)
    throw new HTTPError({ status: 418, message: 'teapot', cause: new Error('none') })
  })
  t.is(await textOf(app, '/'), 'answer')
  t.is((await app.request('/fails')).status, 500)
  t.is((await app.request('/teapot')).status, 418)
  t.deepEqual(
    log.filter((line) => line !== 'onRequest'),
    ['onResponse 200', 'onError 500 of the handler', 'onResponse 500', 'onError 418 teapot', 'onResponse 418'],
  )
  t.is(log.length, 8)
})

test.serial('h3: without an error handler, refused requests are answered with their status', async (t) => {
  const requests = greenlets({ limit: 1 })
  const app = new H3({ silent: true })
  app.register(requests)
  app.get('/', () => (sleep(20), 'first'))
  const first = app.request('/')
  const second = await app.request('/')
  t.deepEqual([second.status, second.headers.get('retry-after')], [503, '1'])
  t.is((await first).status, 200)
  t.is(requests.living.size, 0)
  t.is((await app.request('/')).status, 200)
  await requests.close()
  t.is((await app.request('/')).status, 503)
})

test.serial('h3: without a server, the signal of the request ends its greenlets', async (t) => {
  const requests = greenlets()
  const log: string[] = []
  const app = new H3({ silent: true, onError: () => void log.push('not here') })
  app.register(requests)
  app.get('/', () => {
    try {
      sleep(1e6)
    } finally {
      log.push('finally')
    }
  })
  const controller = new AbortController()
  const answer = app.request('/', { signal: controller.signal })
  await until(() => requests.living.size === 1)
  controller.abort()
  t.is((await answer).status, 499)
  t.deepEqual(log, ['finally'])
})

test.serial('h3: without a server, each request leaves its place, however it ends', async (t) => {
  const fail = (): never => {
    sleep(1)
    throw new Error('of a hook')
  }
  const wait1 = (): void => sleep(1)
  const cases: Record<string, readonly [config: H3Config, early?: boolean]> = {
    'no hooks': [{}],
    'a hook onRequest': [{ onRequest: wait1 }],
    'a plain hook onRequest': [{ onRequest() {} }],
    'a hook onRequest that fails': [{ onRequest: fail }],
    'hooks that fail': [{ onRequest: fail, onError: fail, onResponse: fail }],
    'an async hook that fails': [{ onRequest: async () => fail() }],
    'hooks after the answer': [{ onError: wait1, onResponse: wait1 }],
    'a hook, and a middleware that answers before greenlets()': [{ onRequest: wait1 }, true],
  }
  for (const [what, [config, early = false]] of Object.entries(cases)) {
    const requests = greenlets({ limit: 1 })
    const app = new H3({ silent: true, ...config })
    if (early) app.use(() => 'early')
    app.register(requests)
    app.get('/', () => (sleep(1), 'answer'))
    app.get('/fails', fail)
    const statuses = []
    for (const path of ['/', '/fails', '/none', '/', '/fails', '/none']) {
      statuses.push((await app.request(path)).status)
      await turn()
      await turn()
    }
    t.false(statuses.includes(503), `${what}: ${statuses.join()}`)
    // More are refused than there are places.
    const first = app.request('/')
    for (let i = 0; i < 20; i++) await app.request('/')
    await first
    await until(() => others().length === 0)
    await requests.close({ grace: 60_000 })
    t.is(requests.living.size, 0)
  }
})

test.serial('h3: handlers that were there before, and apps without the plugin, do not change', async (t) => {
  const name = () => Greenlet.current.name
  const app = new H3()
  app.get('/early', name)
  app.register(greenlets())
  app.get('/late', name)
  const inner = new H3().get('/x', name)
  app.mount('/inner', inner)
  t.is(await textOf(app, '/early'), 'main')
  t.is(await textOf(app, '/late'), 'GET /late')
  t.is(await textOf(app, '/inner/x'), 'GET /inner/x')
  t.is(await textOf(inner, '/x'), 'main')
})

test.serial('h3: bodies and uploads are read by waits, and events are sent by a greenlet', async (t) => {
  const app = new H3()
  app.register(greenlets())
  app.post('/json', (event) => [wait(readBody(event))])
  app.post('/upload', (event) => {
    const file = wait(event.req.formData()).get('file') as File
    return `${file.name} ${wait(file.text()).length}`
  })
  app.get('/events', (event) => {
    sleep(1)
    const stream = createEventStream(event)
    spawn(() => {
      for (let i = 0; i < 3; i++) {
        wait(stream.push(`${i}`))
        sleep(1)
      }
      wait(stream.close())
    })
    return stream.send()
  })
  const site = await serve(t, app)
  const { port } = site.server.address() as { port: number }
  t.is((await site.ask('POST /json', '{"a":1}')).text.replaceAll(/\s/g, ''), '[{"a":1}]')
  const form = new FormData()
  form.set('file', new Blob(['x'.repeat(100_000)]), 'x.txt')
  const uploaded = await fetch(`http://127.0.0.1:${port}/upload`, { method: 'POST', body: form })
  t.is(await uploaded.text(), 'x.txt 100000')
  t.is((await site.ask('/events')).text, 'data: 0\n\ndata: 1\n\ndata: 2\n\n')
})

test.serial('h3: plain middleware around a handler ends with it when the client leaves', async (t) => {
  const log: string[] = []
  const app = new H3()
  app.register(greenlets())
  app.use((_event, next) => {
    try {
      const body = wait(next())
      log.push('not here')
      return body
    } finally {
      log.push('outer')
    }
  })
  app.get('/', () => {
    try {
      sleep(1e6)
    } finally {
      log.push('inner')
    }
  })
  const site = await serve(t, app)
  const client = site.visit('/')
  await until(() => others().length === 1)
  client.destroy()
  await until(() => others().length === 0)
  await setTimeout(5)
  t.deepEqual(log, ['inner', 'outer'])
})
