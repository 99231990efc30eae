// greenlets/express with Express 4, of which the router is another one.

import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import test from 'ava'
import type { ErrorRequestHandler, Response } from 'express'
import { greenlets } from '../../js/adapters/express.ts'
import { Greenlet, sleep, wait } from '../../js/index.ts'
import { pending, until } from '../helpers/promises.ts'
import { others, serve, VERSIONS } from './server.ts'

const express4 = VERSIONS[1]![1]

test.afterEach.always('no greenlet is left', async (t) => {
  await until(() => others().length === 0)
  t.deepEqual(others(), [])
})

const forever = (): void => sleep(1e6)

test.serial('200 requests wait at the same time, each with its own answer and store', async (t) => {
  const gate = pending<void>()
  const [before, after] = [new AsyncLocalStorage<string>(), new AsyncLocalStorage<string>()]
  let parked = 0
  const site = await serve(
    t,
    (app) => {
      app.use((req, _res, next) => before.run(`before ${req.url}`, next))
      app.use(greenlets())
      app.use((req, _res, next) => after.run(`after ${req.url}`, next))
      app.get('/:id', (req, res) => {
        const seen = [1, 2].map((n) => (sleep((Number(req.params['id']) * n) % 5), before.getStore()))
        parked++
        wait(gate.promise)
        res.json([...seen, after.getStore(), req.greenlet === Greenlet.current, req.greenlet.name])
      })
    },
    express4,
  )
  const answers = Array.from({ length: 200 }, (_, id) => site.ask(`/${id}`))
  await until(() => parked === 200)
  t.is(others().length, 200)
  gate.resolve()
  for (const [id, { text }] of (await Promise.all(answers)).entries()) {
    t.deepEqual(JSON.parse(text), [`before /${id}`, `before /${id}`, `after /${id}`, true, `GET /${id}`])
  }
})

test.serial(
  'routing works: bodies, nested routers, apps in apps, next("route"), next("router"), param()',
  async (t) => {
    const inner = express4.Router({ mergeParams: true })
    inner.param('item', (req, _res, next, item) => {
      req.headers['x-item'] = wait(setTimeout(1, `item ${item}`))
      setImmediate(next)
    })
    inner.get('/skipped/:item', (_req, _res, next) => (sleep(1), next('router')))
    inner.get('/items/:item', (_req, _res, next) => (sleep(1), next('route')))
    inner.get('/items/:item', (req, res) => {
      sleep(1)
      res.json([req.headers['x-item'], req.params, req.baseUrl, req.url])
    })
    const sub = express4()
    sub.get('/path', (req, res) => (sleep(1), void res.send(`${req.baseUrl} ${req.greenlet === Greenlet.current}`)))
    sub.get('/throw', () => {
      sleep(1)
      throw new Error('of sub')
    })
    const site = await serve(
      t,
      (app) => {
        app.use(greenlets())
        app.use(express4.json())
        app.param(
          'user',
          (_req, _res, next, user) => (sleep(1), next(user === '9' ? new Error('of param') : undefined)),
        )
        app.use('/users/:user', inner)
        app.get('/users/:user/skipped/:item', (_req, res) => (sleep(1), void res.send('skipped the router')))
        app.use('/sub', sub)
        app.post('/body', (req, res) => (sleep(1), void res.json(req.body)))
        app.use(
          ((error: Error, req, _res, next) => (
            sleep(1),
            next(new Error(`${error.message} in ${req.path}`))
          )) as ErrorRequestHandler,
        )
        app.use(
          ((error: Error, _req, res, _next) => (sleep(1), res.status(418).send(error.message))) as ErrorRequestHandler,
        )
      },
      express4,
    )
    for (let i = 0; i < 2; i++) {
      t.is((await site.ask('/users/3/items/7')).text, '["item 7",{"user":"3","item":"7"},"/users/3","/items/7"]')
    }
    t.is((await site.ask('/users/3/skipped/7')).text, 'skipped the router')
    t.like(await site.ask('/users/9/items/7'), { status: 418, text: 'of param in /users/9/items/7' })
    t.is((await site.ask('/sub/path')).text, '/sub true')
    t.is((await site.ask('/sub/throw')).text, 'of sub in /sub/throw')
    t.is((await site.ask('POST /body', '{"a":[1]}')).text, '{"a":[1]}')
    t.is((await site.ask('/nothing')).status, 404)
  },
)

test.serial(
  'a client that disconnects ends the greenlets, in every kind of handler, and no handler gets the exit',
  async (t) => {
    const log: string[] = []
    let response: Response | undefined
    const park = (name: string) => (): void => {
      try {
        ;[1].map(forever)
      } finally {
        log.push(name)
      }
    }
    const router = express4.Router()
    router.param('id', park('param'))
    router.get('/:id', (_req, res) => void res.end('not here'))
    const site = await serve(
      t,
      (app) => {
        app.use((_req, res, next) => {
          response = res
          next()
        })
        app.use(greenlets())
        app.get('/handler', (_req, _res, next) => {
          try {
            next()
            log.push('not here')
          } finally {
            log.push('middleware')
          }
        })
        app.get('/handler', park('handler'))
        app.get('/helper', (_req, res) => {
          const helper = async (): Promise<void> => park('async helper')()
          void helper().then(() => res.end('not here'))
        })
        app.get('/stream', (_req, res) => {
          res.write('begin')
          park('in the answer')()
        })
        app.get('/error', (_req, _res, next) => next(new Error('first')))
        app.use('/param', router)
        app.use('/error', ((_error, _req, _res, _next) => park('error handler')()) as ErrorRequestHandler)
        app.use(((error: Error, _req, res, _next) => {
          log.push(`the error handler got ${error.message}`)
          res.end()
        }) as ErrorRequestHandler)
      },
      express4,
    )
    for (const path of ['/handler', '/helper', '/stream', '/error', '/param/7']) {
      const client = site.visit(path)
      await until(() => others().length > 0)
      client.destroy()
      await until(() => others().length === 0 && response!.closed)
      await setTimeout(5)
    }
    t.deepEqual(log, ['handler', 'middleware', 'async helper', 'in the answer', 'error handler', 'param'])
  },
)

test.serial('uploads and events are streamed with waits between the pieces', async (t) => {
  const site = await serve(
    t,
    (app) => {
      app.use(greenlets())
      app.post('/', (req, res) => {
        const body = req[Symbol.asyncIterator]() as AsyncIterator<Buffer>
        let length = 0
        for (let chunk = wait(body.next()); !chunk.done; chunk = wait(body.next())) length += chunk.value.length
        res.type('text/event-stream')
        for (const n of [1, 2, 3]) {
          sleep(1)
          res.write(`data: ${n}\n\n`)
        }
        res.end(`data: ${length}\n\n`)
      })
    },
    express4,
  )
  const { port } = site.server.address() as AddressInfo
  const upload = http.request({ port, method: 'POST', agent: false })
  for (let i = 0; i < 20; i++) upload.write('x'.repeat(10_000))
  const [answer] = (await once(upload.end(), 'response')) as [http.IncomingMessage]
  let text = ''
  for await (const chunk of answer.setEncoding('utf8')) text += chunk
  t.is(text, 'data: 1\n\ndata: 2\n\ndata: 3\n\ndata: 200000\n\n')
})
