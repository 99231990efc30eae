// The adapter of Koa: what facts.ts says of all adapters, and what only Koa has.

import http from 'node:http'
import { PassThrough } from 'node:stream'
import { setTimeout } from 'node:timers/promises'
import Router from '@koa/router'
import test, { type ExecutionContext } from 'ava'
import Koa from 'koa'
import compose from 'koa-compose'
import door, { greenlets } from '../../js/adapters/koa.ts'
import { Greenlet, sleep, wait } from '../../js/index.ts'
import { until } from '../helpers/promises.ts'
import { facts } from './facts.ts'
import { koa } from './kits.ts'
import { listen, others, type Site } from './server.ts'

facts(koa)

const serve = (t: ExecutionContext, app: Koa): Promise<Site> => listen(t, http.createServer(app.callback()))

test('koa: the default export is greenlets()', (t) => t.is(door, greenlets))

test.serial('koa: next() is a promise of all that follows, for plain and async functions', async (t) => {
  const log: string[] = []
  const app = new Koa()
  app.use(greenlets())
  app.use((_ctx, next) => {
    const before = Greenlet.current
    wait(next())
    log.push(`outer ${before === Greenlet.current}`)
  })
  app.use(async (_ctx, next) => {
    try {
      await next()
    } finally {
      log.push('async')
    }
  })
  app.use((ctx, next) => {
    try {
      return next().finally(() => log.push(`inner ${String(ctx.body)}`))
    } finally {
      log.push('returned')
    }
  })
  app.use((ctx) => {
    sleep(1)
    ctx.body = 'answer'
  })
  const site = await serve(t, app)
  t.is((await site.ask('/')).text, 'answer')
  t.deepEqual(log, ['returned', 'inner answer', 'async', 'outer true'])
})

test.serial('koa: the routes, params and nested routers of @koa/router may wait', async (t) => {
  const app = new Koa()
  app.use(greenlets())
  const inner = new Router()
  inner.param('item', (item, ctx, next) => {
    ctx.state['item'] = wait(setTimeout(1, `item ${item}`))
    return next()
  })
  inner.use(async (_ctx, next) => {
    await setTimeout(1)
    await next()
  })
  inner.get(
    'item',
    '/items/:item',
    async (_ctx, next) => {
      await setTimeout(1)
      await next()
    },
    (ctx) => {
      sleep(1)
      ctx.body = [
        ctx.params['user'],
        ctx.params['item'],
        ctx.state['item'],
        ctx.greenlet === Greenlet.current,
        ctx['routerName'],
      ]
    },
  )
  const outer = new Router()
  outer.use('/users/:user', inner.routes(), inner.allowedMethods())
  app.use(outer.routes()).use(outer.allowedMethods())
  const late = new Router()
  app.use(late.routes())
  const site = await serve(t, app)
  const expected = JSON.stringify(['3', '7', 'item 7', true, 'item'])
  for (let i = 0; i < 2; i++) t.is((await site.ask('/users/3/items/7')).text, expected)
  // Koa's router takes routes at any time.
  late.get(
    '/late',
    async (_ctx, next) => {
      await Promise.resolve()
      await next()
    },
    (ctx) => void (ctx.body = wait(setTimeout(1, 'late'))),
  )
  t.is((await site.ask('/late')).text, 'late')
  const refused = await site.ask('POST /users/3/items/7')
  t.deepEqual([refused.status, refused.headers.allow], [405, 'HEAD, GET'])

  // An app without greenlets, with the same router.
  const plain = await serve(
    t,
    new Koa().use(outer.routes() as Koa.Middleware).on('error', () => {}),
  )
  t.is((await plain.ask('/users/3/items/7')).status, 500, 'wait() on main is an error there')
})

test.serial('koa: app.currentContext is that of the request', async (t) => {
  const app = new Koa({ asyncLocalStorage: true })
  app.use(greenlets())
  app.use(async (_ctx, next) => {
    await setTimeout(1)
    await next()
  })
  app.use((ctx) => {
    sleep(1)
    ctx.body = String(app.currentContext === ctx)
  })
  const site = await serve(t, app)
  const answers = await Promise.all(Array.from({ length: 20 }, () => site.ask('/')))
  t.true(answers.every(({ text }) => text === 'true'))
})

test.serial("koa: app.on('error') gets each error once, and no GreenletExit of a client that has left", async (t) => {
  const errors: string[] = []
  const app = new Koa().on('error', (error: Error) => errors.push(error.message))
  app.use(greenlets())
  app.use((ctx) => {
    sleep(ctx.path === '/parked' ? 1e6 : 1)
    throw new Error('of the handler')
  })
  const site = await serve(t, app)
  t.is((await site.ask('/')).text, 'Internal Server Error')
  const client = site.visit('/parked')
  await until(() => others().length === 1)
  client.destroy()
  await until(() => others().length === 0)
  await setTimeout(10)
  t.deepEqual(errors, ['of the handler'])
})

test.serial('koa: the deadline and the limit answer by themselves, without an error handler', async (t) => {
  const app = new Koa()
  app.silent = true
  const requests = greenlets({ timeout: 100, limit: 1 })
  app.use(requests)
  app.use((ctx) => {
    if (ctx.path === '/waits') sleep(1e6)
    // Nothing of it waits, and no promise is pending: the answer comes by hand, or never.
    ctx.respond = false
  })
  const site = await serve(t, app)
  const first = site.ask('/waits')
  await until(() => requests.living.size === 1)
  const second = await site.ask('/')
  t.deepEqual([second.status, second.headers['retry-after'], second.text], [503, '1', 'Service Unavailable'])
  t.is((await first).status, 503)
  await until(() => others().length === 0)
  let third = await site.ask('/')
  while (third.headers['retry-after'] !== undefined) third = await site.ask('/')
  t.is(third.status, 503)
})

test.serial('koa: bodies that are streams, and events that are written one by one', async (t) => {
  const log: string[] = []
  const app = new Koa()
  app.silent = true
  app.use(greenlets())
  app.use((ctx) => {
    if (ctx.path === '/stream') {
      const body = new PassThrough()
      sleep(1)
      body.end('streamed')
      ctx.body = body
      return
    }
    ctx.respond = false
    ctx.res.writeHead(200, { 'content-type': 'text/event-stream' })
    try {
      for (let i = 0; ; i++) {
        ctx.res.write(`data: ${i}\n\n`)
        sleep(1)
      }
    } finally {
      log.push('finally')
    }
  })
  const site = await serve(t, app)
  t.is((await site.ask('/stream')).text, 'streamed')
  const client = site.visit('/events')
  let text = ''
  client.on('response', (response) =>
    response
      .setEncoding('utf8')
      .on('data', (chunk: string) => (text += chunk))
      .on('error', () => {}),
  )
  await until(() => text.includes('data: 3\n\n'))
  client.destroy()
  await until(() => log.length === 1)
  t.true(text.startsWith('data: 0\n\ndata: 1\n\n'))
})

test.serial('koa: handlers that answer by hand, twice, or fail after the answer do not end the server', async (t) => {
  const app = new Koa()
  app.silent = true
  app.use(greenlets())
  app.use((ctx) => {
    ctx.respond = false
    ctx.res.end('by hand')
    sleep(1)
    if (ctx.path === '/twice') ctx.res.end('again')
    if (ctx.path === '/throws') throw new Error('after the answer')
    if (ctx.path === '/body') ctx.body = 'again'
  })
  const site = await serve(t, app)
  for (const path of ['/twice', '/throws', '/body']) t.is((await site.ask(path)).text, 'by hand')
})

test.serial('koa: next() that is called later, twice, or without using its promise', async (t) => {
  const app = new Koa()
  app.silent = true
  app.use(greenlets())
  app.use((ctx, next) => {
    if (ctx.path === '/later') return new Promise((resolve) => setImmediate(() => resolve(next())))
    // oxlint-disable-next-line no-callback-in-promise -- this is what the test is about
    if (ctx.path === '/twice') return next().then(next)
    return void next()
  })
  app.use((ctx) => {
    ctx.body = ctx.path === '/dropped' ? 'at once' : wait(setTimeout(1, 'answer'))
    return undefined
  })
  const site = await serve(t, app)
  t.is((await site.ask('/later')).text, 'answer')
  t.is((await site.ask('/twice')).status, 500)
  t.is((await site.ask('/dropped')).text, 'at once')
})

test.serial(
  'koa: middleware before greenlets() runs on main; functions that others composed are entered as one',
  async (t) => {
    const log: string[] = []
    const note = (what: string) => log.push(`${what} ${Greenlet.current === Greenlet.main ? 'main' : 'greenlet'}`)
    const app = new Koa()
    app.use((_ctx, next) => (note('before'), next()))
    app.use(
      compose<Koa.Context>([
        greenlets(),
        (_ctx, next) => (sleep(1), note('composed'), next()),
        async (_ctx, next) => {
          await Promise.resolve()
          await next()
        },
        (_ctx, next) => (note('after an await'), next()),
      ]) as Koa.Middleware,
    )
    app.use(greenlets())
    app.use((ctx) => {
      note('handler')
      ctx.body = wait(setTimeout(1, 'answer'))
    })
    const site = await serve(t, app)
    t.is((await site.ask('/')).text, 'answer')
    t.deepEqual(log, ['before main', 'composed greenlet', 'after an await main', 'handler greenlet'])
  },
)
