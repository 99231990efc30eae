import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import test from 'ava'
import type { ErrorRequestHandler } from 'express'
import { greenlets } from '../../js/adapters/express.ts'
import { configure, Greenlet, type GreenletError, GreenletExit, sleep, wait } from '../../js/index.ts'
import { pending, until } from '../helpers/promises.ts'
import { others, serve } from './server.ts'

// The tests check the one warning that is expected, so it is not printed.
process.removeAllListeners('warning')

const teapot = Object.assign(new Error('short and stout'), { status: 418 })

/** Waits, then answers with what it got. */
const answerWithError: ErrorRequestHandler = (error: Error & { status?: number; code?: string }, req, res, _next) => {
  sleep(1)
  res
    .status(error.status ?? 500)
    .json({ name: error.constructor.name, code: error.code, message: error.message, in: req.greenlet.name })
}

/** Parks greenlets until the limit is reached. Returns a function that ends them. */
function fillUp(): () => void {
  const fillers: Greenlet[] = []
  try {
    for (;;) {
      const filler = new Greenlet(() => Greenlet.main.switch())
      fillers.push(filler)
      filler.switch()
    }
  } catch (error) {
    if ((error as GreenletError).code !== 'ERR_GREENLET_LIMIT') throw error
  }
  return () => {
    for (const filler of fillers) filler.kill()
  }
}

test.afterEach.always('no greenlet is left', async (t) => {
  await until(() => others().length === 0)
  t.deepEqual(others(), [])
})

test.serial(
  'an error that a handler throws, before or after a wait, reaches the error handlers unchanged',
  async (t) => {
    const seen: unknown[] = []
    const site = await serve(t, (app) => {
      app.use(greenlets())
      app.get('/before', () => {
        throw teapot
      })
      app.get('/after', () => {
        sleep(1)
        throw teapot
      })
      app.get('/deep', () => [1].map(() => wait(setTimeout(1).then(() => Promise.reject(teapot)))))
      app.get('/next', (_req, _res, next) => (sleep(1), next(teapot)))
      app.get('/later', (_req, _res, next) => void setImmediate(() => next(teapot)))
      app.get('/async', async () => {
        sleep(1)
        await setTimeout(1)
        throw teapot
      })
      app.param('id', (_req, _res, _next, id: string) => {
        sleep(1)
        throw Object.assign(teapot, { id })
      })
      app.get('/param/:id', (_req, res) => void res.send('not here'))
      app.use(((error, _req, _res, next) => (sleep(1), seen.push(error), next(error))) as ErrorRequestHandler)
      app.use(answerWithError)
    })
    for (const path of ['/before', '/after', '/deep', '/next', '/later', '/async', '/param/1']) {
      const { status, text } = await site.ask(path)
      t.is(status, 418, path)
      t.like(JSON.parse(text), { message: 'short and stout', in: `GET ${path}` })
    }
    t.deepEqual(seen, Array(7).fill(teapot))
  },
)

test.serial('an error thrown after a wait has the handler on its stack, from both sides of the wait', async (t) => {
  let stack = ''
  const site = await serve(t, (app) => {
    app.use(greenlets())
    app.get('/', function orders() {
      ;[1].map(function inner() {
        sleep(1)
        throw new Error('here')
      })
    })
    app.use(((error: Error, _req, res, _next) => {
      stack = error.stack ?? ''
      res.end()
    }) as ErrorRequestHandler)
  })
  await site.ask('/')
  t.regex(stack, /^Error: here\n.* inner .*\n.*Array\.map.*\n.* orders /)
})

test.serial('without error handlers Express itself answers', async (t) => {
  const site = await serve(t, (app) => {
    app.use(greenlets())
    app.get('/teapot', () => (sleep(1), wait(Promise.reject(teapot))))
    app.get('/falsy', () => wait(Promise.reject(undefined)))
  })
  t.is((await site.ask('/teapot')).status, 418)
  t.is((await site.ask('/nothing')).status, 404)
  // As in plain Express: a falsy error counts as no error.
  t.is((await site.ask('/falsy')).status, 404)
})

test.serial('async handlers behave as in plain Express', async (t) => {
  const site = await serve(t, (app) => {
    app.use(greenlets())
    app.get('/ok', async (_req, res) => {
      const first = wait(setTimeout(1, 'sync'))
      const second = await setTimeout(1, 'async')
      res.send(`${first} ${second}`)
    })
    app.get('/late', async () => {
      await setTimeout(1)
      wait(setTimeout(1))
    })
    app.get('/reject', () => Promise.reject(undefined))
    app.use(answerWithError)
  })
  t.is((await site.ask('/ok')).text, 'sync async')
  t.is((JSON.parse((await site.ask('/late')).text) as { code: string }).code, 'ERR_GREENLET_WAIT_ON_MAIN')
  t.like(JSON.parse((await site.ask('/reject')).text), { message: 'Rejected promise' })
})

test.serial('a request fails with a 503 if its greenlet is killed while the client waits', async (t) => {
  const site = await serve(t, (app) => {
    app.use(greenlets())
    app.get('/other', () => sleep(1e6))
    app.param('id', (req) => (sleep(1), req.greenlet.kill()))
    app.get('/param/:id', (_req, res) => void res.send('not here'))
    app.get('/itself', (req) => (sleep(1), req.greenlet.kill()))
    app.get('/async', async () => {
      await setTimeout(1)
      throw new GreenletExit()
    })
    app.use(answerWithError)
  })
  const other = site.ask('/other')
  await until(() => others().length === 1)
  Greenlet.all()[1]!.kill()
  const answers = await Promise.all(['/itself', '/param/1', '/async'].map((path) => site.ask(path)))
  for (const { status, text } of [await other, ...answers]) {
    t.is(status, 503)
    t.like(JSON.parse(text), { name: 'GreenletExit' })
  }
})

test.serial(
  'a request over the limit of greenlets fails with a 503, and other requests are not affected',
  async (t) => {
    const gate = pending<void>()
    configure({ maxGreenlets: 200 })
    const site = await serve(t, (app) => {
      app.use(greenlets())
      app.get('/park', (_req, res) => (wait(gate.promise), void res.send('parked')))
      app.get('/', (_req, res) => void res.send(wait(setTimeout(1, 'fine'))))
      app.use(((error: Error & { status?: number; statusCode: number; code?: string }, req, res, _next) => {
        res.status(error.statusCode).json([error.status, error.code, req.greenlet.name])
      }) as ErrorRequestHandler)
    })
    const parked = site.ask('/park')
    await until(() => others().length === 1)
    const release = fillUp()
    t.teardown(release)
    const before = others().length
    const refused = await Promise.all(Array.from({ length: 10 }, () => site.ask('/')))
    t.is(others().length, before)
    for (const { status, text } of refused) {
      t.is(status, 503)
      t.is(text, '[503,"ERR_GREENLET_LIMIT","main"]')
    }
    gate.resolve()
    t.is((await parked).text, 'parked')
    release()
    t.is((await site.ask('/')).text, 'fine')
  },
)

test.serial('Express answers 503 when there are no stack slots left and the app has no error handlers', async (t) => {
  const site = await serve(t, (app) => {
    app.use(greenlets())
    app.get('/', (_req, res) => void res.send('not here'))
  })
  const release = fillUp()
  t.teardown(release)
  t.is((await site.ask('/')).status, 503)
  release()
})

test.serial('an error goes to next() if it is thrown after a wait, when the frame of Express is gone', async (t) => {
  const site = await serve(t, (app) => {
    app.use((req, res, next) => {
      greenlets()(req, res, (error) => {
        if (error !== undefined) return next(error)
        sleep(1)
        throw teapot
      })
    })
    app.use(answerWithError)
  })
  t.is((await site.ask('/')).status, 418)
})

test.serial(
  'an error that no handler takes becomes a warning, and other requests still get their answers',
  async (t) => {
    const site = await serve(t, (app) => {
      app.use('/bad', (req, res) => {
        greenlets()(req, res, () => {
          sleep(1)
          throw new Error('no handler takes it')
        })
      })
      app.use(greenlets())
      app.get('/good', (_req, res) => (sleep(20), void res.send('good')))
    })
    const warned = once(process, 'warning') as Promise<[Error]>
    const good = site.ask('/good')
    await t.throwsAsync(site.ask('/bad'), { code: 'ECONNRESET' })
    t.is((await warned)[0].message, 'no handler takes it')
    t.is((await good).text, 'good')
  },
)

test.serial('a router that is not of Express is reported at the first request', async (t) => {
  const expected = { instanceOf: TypeError, code: 'ERR_GREENLET_INVALID_ARG', message: /is for Express 5 and 4/ }
  const express4 = {
    _router: { stack: [{ handle_request() {} }] },
    get router() {
      throw new Error("'app.router' is deprecated!")
    },
  }
  const noError = { router: Object.assign(() => {}, { params: {}, stack: [{ handleRequest() {} }] }) }
  for (const app of [undefined, express4, {}, { router: { stack: [] } }, noError]) {
    t.throws(() => greenlets()({ app } as never, {} as ServerResponse, () => t.fail()), expected)
  }
})

test('greenlets without parentheses is an error, and no request waits for ever', (t) => {
  const use: (middleware: unknown) => unknown = (middleware) =>
    (middleware as (...args: unknown[]) => unknown)({}, {}, () => {})
  t.throws(() => use(greenlets), {
    instanceOf: TypeError,
    code: 'ERR_GREENLET_INVALID_ARG',
    message: /write app\.use\(greenlets\(\)\)/,
  })
})
