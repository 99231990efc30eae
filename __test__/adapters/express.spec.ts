import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout } from 'node:timers/promises'
import test from 'ava'
import express, { Router } from 'express'
import { greenlets } from '../../js/adapters/express.ts'
import { Greenlet, sleep, spawn, wait } from '../../js/index.ts'
import { pending, until } from '../helpers/promises.ts'
import { others, serve } from './server.ts'

test.afterEach.always('no greenlet is left', async (t) => {
  await until(() => others().length === 0)
  t.deepEqual(others(), [])
})

test.serial(
  '200 requests wait at the same time, deep inside synchronous code, and each gets its own answer',
  async (t) => {
    const gates = Array.from({ length: 200 }, () => pending<void>())
    let parked = 0
    const site = await serve(t, (app) => {
      app.use(greenlets())
      app.get('/:id', (req, res) => {
        const id = Number(req.params.id)
        const order = {
          get total() {
            parked++
            wait(gates[id]!.promise)
            return id * 100
          },
        }
        const lines = [1, 2, 3].map((line) => (sleep((id * line) % 7), id * 10 + line))
        const parsed = JSON.parse(`{"a":[${id},1]}`, (_key, value: unknown) => (sleep((id * 3) % 5), value)) as unknown
        const { total } = order
        res.json({
          id,
          total,
          lines,
          parsed,
          asked: req.originalUrl,
          name: req.greenlet.name,
          own: req.greenlet === Greenlet.current,
        })
      })
    })
    const answers = gates.map((_, id) => site.ask(`/${id}?n=${id}`))
    await until(() => parked === 200)
    t.deepEqual(new Set(others()), new Set(gates.map((_, id) => `GET /${id}`)))
    for (const greenlet of Greenlet.all().slice(1))
      t.regex(greenlet.gr_stack.toString(), /^ +at (?:Object\.)?get total .*\n/)

    // Resolves them in another order than they arrived.
    for (let i = 0; i < 200; i++) gates[(i * 77) % 200]!.resolve()
    for (const [id, answer] of (await Promise.all(answers)).entries()) {
      const lines = [1, 2, 3].map((line) => id * 10 + line)
      t.deepEqual(JSON.parse(answer.text), {
        id,
        total: id * 100,
        lines,
        parsed: { a: [id, 1] },
        asked: `/${id}?n=${id}`,
        name: `GET /${id}`,
        own: true,
      })
    }
  },
)

test.serial('each request has its own AsyncLocalStorage store, set before greenlets() or after it', async (t) => {
  const before = new AsyncLocalStorage<string>()
  const after = new AsyncLocalStorage<string>()
  const site = await serve(t, (app) => {
    app.use((req, _res, next) => before.run(`before ${req.url}`, next))
    app.use(greenlets())
    app.use((req, _res, next) => after.run(`after ${req.url}`, next))
    app.get('/:id', (req, res) => {
      const seen = [before.getStore(), after.getStore()]
      for (let i = 0; i < 3; i++) {
        sleep((Number(req.params.id) * (i + 1)) % 7)
        seen.push(...[1].map(() => (wait(setTimeout(i)), before.getStore())), after.getStore())
      }
      res.json(seen)
    })
  })
  const answers = await Promise.all(Array.from({ length: 200 }, (_, id) => site.ask(`/${id}`)))
  for (const [id, { text }] of answers.entries()) {
    t.deepEqual(JSON.parse(text), Array.from({ length: 4 }, () => [`before /${id}`, `after /${id}`]).flat())
  }
})

test.serial('handlers stay in a greenlet after a handler that continues from the event loop', async (t) => {
  const log: string[] = []
  const answered = pending<void>()
  const site = await serve(t, (app) => {
    app.use(greenlets())
    app.use((req, _res, next) => {
      const mine = req.greenlet
      next()
      log.push(`back in ${mine === Greenlet.current ? 'mine' : 'another'}`)
      wait(answered.promise)
      log.push(`ended in ${mine === req.greenlet ? 'mine' : 'another'}`)
    })
    app.use(express.json())
    app.use((_req, _res, next) => void process.nextTick(next))
    app.use((_req, _res, next) => queueMicrotask(next))
    app.use((_req, _res, next) => void setImmediate(next))
    app.use(async (_req, _res, next) => {
      await setTimeout(1)
      next()
    })
    app.post('/', (req, res) => {
      sleep(1)
      log.push(`handler ${req.greenlet === Greenlet.current}`)
      res.json({ ...(req.body as object), name: req.greenlet.name })
    })
  })
  t.is((await site.ask('POST /', '{"a":1}')).text, '{"a":1,"name":"POST /"}')
  answered.resolve()
  await until(() => log.length === 3)
  t.deepEqual(log, ['back in mine', 'handler true', 'ended in mine'])
})

test.serial('next() in a greenlet of the program does not make that greenlet wait', async (t) => {
  let freed = false
  const site = await serve(t, (app) => {
    app.use(greenlets())
    app.use((_req, _res, next) => {
      spawn(() => {
        sleep(1)
        next()
        freed = true
      })
    })
    app.get('/', (req, res) => {
      wait(setTimeout(1))
      res.json({ freed, own: req.greenlet === Greenlet.current, parent: req.greenlet.parent?.name })
    })
  })
  t.is((await site.ask('/')).text, '{"freed":true,"own":true,"parent":"main"}')
})

test.serial('routing works: nested routers, apps in apps, next("route"), next("router"), param()', async (t) => {
  const inner = Router({ mergeParams: true })
  inner.param('item', (req, _res, next, item) => {
    req.headers['x-item'] = wait(setTimeout(1, `item ${item}`))
    next()
  })
  inner.get(
    '/items/:item',
    (_req, _res, next) => (sleep(1), next('route')),
    (_req, res) => void res.send('not here'),
  )
  inner.get('/items/:item', (req, res) => {
    sleep(1)
    res.json([req.headers['x-item'], req.params, req.baseUrl, req.url])
  })
  inner.get('/leave', (_req, _res, next) => (sleep(1), next('router')))
  inner.get('/leave', (_req, res) => void res.send('not here'))

  const sub = express()
  sub.get('/path', (req, res) => (sleep(1), void res.send(`${req.baseUrl} of ${req.app === sub ? 'sub' : 'app'}`)))
  sub.get('/throw', () => {
    sleep(1)
    throw new Error('of sub')
  })

  const site = await serve(t, (app) => {
    app.use(greenlets())
    // Its next() is called on main, so the adapter must put the handlers after it into a greenlet again.
    app.use((_req, _res, next) => void setImmediate(next))
    app.param('user', (req, _res, next, user) => {
      req.headers['x-user'] = wait(setTimeout(1, `user ${user}`))
      next()
    })
    app.use('/users/:user', inner)
    app.get('/users/:user/leave', (req, res) => void res.send(wait(setTimeout(1, String(req.headers['x-user'])))))
    app.use('/sub', sub)
    app.use(
      ((error, req, res, _next) => (
        sleep(1),
        res.send(`${error.message} in ${req.path}`)
      )) as express.ErrorRequestHandler,
    )
  })
  const answer = async (path: string): Promise<string> => (await site.ask(path)).text
  const seen = ['item 7', { user: '3', item: '7' }, '/users/3', '/items/7']
  // The first request uses functions that the adapter has not wrapped yet.
  for (let i = 0; i < 3; i++) t.is(await answer('/users/3/items/7'), JSON.stringify(seen))
  t.is(await answer('/users/5/leave'), 'user 5')
  t.is(await answer('/sub/path'), '/sub of sub')
  t.is(await answer('/sub/throw'), 'of sub in /sub/throw')
  t.is((await site.ask('/sub/nothing')).status, 404)
})

test.serial('a long chain of middleware works, which Express interrupts after 100', async (t) => {
  const chain = (router: Router, length: number): void => {
    for (let i = 0; i < length; i++) router.use((_req, _res, next) => next())
    router.param('id', (req, _res, next, id) => {
      req.headers['x-id'] = wait(setTimeout(1, id))
      next()
    })
    router.get('/:id', (req, res) => (sleep(1), void res.send(req.headers['x-id'])))
  }
  const site = await serve(t, (app) => {
    app.use(greenlets())
    for (let length = 95; length < 105; length++) {
      const router = Router()
      chain(router, length)
      app.use(`/after-${length}`, router)
    }
    chain(app, 250)
  })
  t.is((await site.ask('/x')).text, 'x')
  for (let length = 95; length < 105; length++) t.is((await site.ask(`/after-${length}/y`)).text, 'y')

  // The app's own property.
  for (let length = 95; length < 105; length++) {
    const single = await serve(t, (app) => {
      app.use(greenlets())
      chain(app, length)
    })
    t.is((await single.ask('/z')).text, 'z')
  }
})

test.serial('handlers before greenlets(), and other apps, do not change', async (t) => {
  const plain = await serve(t, (app) => {
    app.get('/', (req, res) => void res.json([Greenlet.current.name, req.greenlet === undefined]))
  })
  const site = await serve(t, (app) => {
    app.get('/early', (req, res) => void res.json([Greenlet.current.name, req.greenlet === undefined]))
    app.get('/only', greenlets(), (_req, res) => void res.send(wait(setTimeout(1, 'waited'))))
    app.use(greenlets())
    app.use(greenlets())
    app.get('/', (_req, res) => void res.send(wait(setTimeout(1, 'waited'))))
  })
  t.is((await site.ask('/')).text, 'waited')
  t.is((await site.ask('/only')).text, 'waited')
  t.is((await site.ask('/early')).text, '["main",true]')
  t.is((await plain.ask('/')).text, '["main",true]')
})
