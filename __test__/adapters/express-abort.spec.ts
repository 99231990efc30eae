// The Express adapter when clients disconnect before they have their answer.

import { once } from 'node:events'
import { dirname } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import express, {
  type ErrorRequestHandler,
  type Express,
  type RequestHandler,
  type Response,
  type IRouter,
} from 'express'
import { greenlets } from '../../js/adapters/express.ts'
import { GreenletExit, sleep, wait } from '../../js/index.ts'
import { until } from '../helpers/promises.ts'
import { others, serve } from './server.ts'

// The tests check the warnings, so they are not printed.
const warnings: Error[] = []
process.removeAllListeners('warning')
process.on('warning', (warning) => warnings.push(warning))

test.afterEach.always('no greenlet and no warning is left', async (t) => {
  await until(() => others().length === 0)
  t.deepEqual(warnings.splice(0), [])
})

const forever = (): void => sleep(1e6)

function parkInParam(routes: IRouter): void {
  routes.param('id', forever)
  routes.get('/:id', (_req, res) => void res.end('not here'))
}

function parkInAsyncParam(app: Express): void {
  app.param('id', async () => forever())
  app.get('/:id', (_req, res) => void res.end('not here'))
}

/** Disconnects a client while its request is parked. Returns the log of what happened on the server. */
async function abandon(t: ExecutionContext, addRoutes: (app: Express, log: string[]) => void): Promise<string[]> {
  const log: string[] = []
  let response: Response | undefined
  const site = await serve(t, (app) => {
    app.use((_req, res, next) => {
      response = res.on('finish', () => log.push('finished'))
      next()
    })
    app.use(greenlets())
    addRoutes(app, log)
    app.use((_req, res) => {
      log.push('the next route')
      res.end('not here')
    })
    app.use(((error: Error, _req, res, _next) => {
      log.push(`the error handler got ${error.constructor.name}: ${error.message}`)
      res.end()
    }) as ErrorRequestHandler)
  })
  const client = site.visit('/7')
  await until(() => others().length > 0)
  client.destroy()
  await until(() => response!.closed && others().length === 0)
  // Gives Express time for anything that it does later.
  await setTimeout(10)
  t.false(response!.headersSent && !log.some((line) => line.includes('error handler')), 'nothing was written')
  return log
}

test.serial('the greenlet ends: every finally block runs, the innermost first, and no other code', async (t) => {
  const exits = new Set<unknown>()
  const log = await abandon(t, (app, log) => {
    const level =
      (name: string): RequestHandler =>
      (_req, _res, next) => {
        try {
          next()
          log.push(`after next() of ${name}`)
        } catch (error) {
          log.push(`${name} has caught ${(error as Error).constructor.name}`)
          exits.add(error)
          throw error
        } finally {
          log.push(`finally of ${name}`)
        }
      }
    app.use(level('outer'))
    app.get('/:id', level('inner'), () => {
      try {
        ;[1].map(forever)
      } finally {
        log.push('finally of the handler')
      }
    })
  })
  t.deepEqual(log, [
    'finally of the handler',
    'inner has caught GreenletExit',
    'finally of inner',
    'outer has caught GreenletExit',
    'finally of outer',
  ])
  t.is(exits.size, 1, 'it is the same all the way')
})

const endings: Record<string, (app: Express, log: string[]) => void> = {
  'a handler that catches everything and calls next(error)': (app, log) =>
    app.use((_req, _res, next) => {
      try {
        forever()
      } catch (error) {
        next(error)
        log.push('not here')
      }
    }),
  'a handler that catches everything and calls next()': (app) =>
    app.use((_req, _res, next) => {
      try {
        forever()
      } catch {}
      next()
    }),
  'a handler that catches everything and returns, with others around it': (app, log) => {
    app.use((_req, _res, next) => {
      next()
      log.push('not here')
    })
    app.use(() => {
      try {
        forever()
      } catch {}
    })
  },
  'an async handler': (app) => app.use(async () => forever()),
  'an async handler that awaits next()': (app) => {
    app.use(async (_req, _res, next) => next())
    app.use(forever)
  },
  'a callback of param()': (app, log) => {
    app.use((_req, _res, next) => {
      next()
      log.push('not here')
    })
    parkInParam(app)
  },
  'an async callback of param()': parkInAsyncParam,
  'an error handler': (app) => {
    app.use(() => {
      throw new Error('first')
    })
    app.use(((_error, _req, _res, _next) => forever()) as ErrorRequestHandler)
  },
  'a handler in an app in an app, after a hop': (app) => {
    const sub = express()
    sub.use((_req, _res, next) => void setImmediate(next))
    sub.use(forever)
    app.use(sub)
  },
}
for (const [name, addRoutes] of Object.entries(endings)) {
  test.serial(`no handler gets the GreenletExit: ${name}`, async (t) => {
    t.deepEqual(await abandon(t, addRoutes), [])
  })
}

// Without a handler of the app for such errors, Express would answer by itself.
const bare: Record<string, (app: Express) => void> = {
  'a callback of param()': parkInParam,
  'an async callback of param()': parkInAsyncParam,
  'a callback of param() in a router': (app) => {
    const router = express.Router()
    parkInParam(router)
    app.use(router)
  },
  'a template': (app) => {
    app.engine('ts', forever)
    app.set('views', dirname(fileURLToPath(import.meta.url)))
    app.get('/:id', (_req, res) => res.render('express-abort.spec.ts'))
  },
}
for (const [name, addRoutes] of Object.entries(bare)) {
  test.serial(`Express itself does not get the GreenletExit: ${name}`, async (t) => {
    let response: Response | undefined
    const site = await serve(t, (app) => {
      app.use((_req, res, next) => {
        response = res
        next()
      })
      app.use(greenlets())
      addRoutes(app)
    })
    // The first request uses routers that the adapter has not wrapped yet.
    for (let i = 0; i < 2; i++) {
      const client = site.visit('/7')
      await until(() => others().length > 0)
      client.destroy()
      await until(() => response!.closed && others().length === 0)
      await setTimeout(10)
      t.false(response!.headersSent)
      t.is(response!.statusCode, 200)
    }
  })
}

test.serial('a finally block may wait, and its error goes to the error handlers', async (t) => {
  const log = await abandon(t, (app, log) => {
    app.use(() => {
      try {
        forever()
      } finally {
        wait(setTimeout(20))
        log.push('cleaned up')
        // oxlint-disable-next-line no-unsafe-finally -- this is what the test is about
        throw new Error('of cleaning up')
      }
    })
  })
  t.deepEqual(log, ['cleaned up', 'the error handler got Error: of cleaning up'])
})

test.serial('a handler that refuses to end is reported, with the place where it is suspended', async (t) => {
  let released = false
  const site = await serve(t, (app) => {
    app.use(greenlets({ grace: 100 }))
    app.get('/', function stubborn() {
      while (!released) {
        try {
          sleep(100)
        } catch {}
      }
    })
  })
  const client = site.visit('/')
  await until(() => others().length === 1)
  client.destroy()
  const [warning] = (await once(process, 'warning')) as [Error & { code: string; detail: string }]
  t.is(warning.name, 'GreenletWarning')
  t.is(warning.code, 'ERR_GREENLET_KILL_REFUSED')
  t.regex(warning.message, /'GET \/' still runs 0\.1 s after its client disconnected/)
  t.regex(warning.detail, /^ +at .*stubborn/)
  released = true
  warnings.length = 0
})

test.serial('a handler that destroys its own response ends at its next wait', async (t) => {
  const log: string[] = []
  const site = await serve(t, (app) => {
    app.use(greenlets())
    app.get('/', (_req, res) => {
      sleep(1)
      res.destroy()
      log.push('destroyed')
      try {
        forever()
      } catch (error) {
        log.push((error as Error).constructor.name)
        throw error
      }
    })
  })
  await t.throwsAsync(site.ask('/'), { code: 'ECONNRESET' })
  await until(() => log.length === 2)
  t.deepEqual(log, ['destroyed', 'GreenletExit'])
})

test.serial('all greenlets of a request end, the newest first', async (t) => {
  const log = await abandon(t, (app, log) => {
    for (const name of ['first', 'second', 'third']) {
      app.use((_req, _res, next) => {
        setImmediate(next)
        try {
          forever()
        } finally {
          log.push(name)
        }
      })
    }
    app.use(forever)
  })
  t.deepEqual(log, ['third', 'second', 'first'])
})

test.serial(
  'no more handlers run for the request, even if no greenlet was parked when the client disconnected',
  async (t) => {
    const log: string[] = []
    let response: Response | undefined
    const router = express.Router()
    router.use(() => void log.push('in a router'))
    const site = await serve(t, (app) => {
      app.use(greenlets())
      app.use((req, res, next) => {
        log.push('first')
        response = res
        res.on('close', () => {
          router(req, res, next)
          for (const word of [undefined, 'route', 'router'] as const)
            setImmediate(next as (word?: string) => void, word)
        })
      })
      app.use(() => void log.push('second'))
    })
    const client = site.visit('/')
    await until(() => log.length === 1)
    client.destroy()
    await setTimeout(50)
    t.deepEqual(log, ['first'])
    t.false(response!.headersSent)
  },
)

test.serial('no handler runs for a client that disconnects before greenlets()', async (t) => {
  const log: string[] = []
  const site = await serve(t, (app) => {
    app.use((_req, res, next) => {
      log.push('first')
      res.on('close', () => setImmediate(next))
    })
    app.use(greenlets())
    app.use(() => void log.push('second'))
  })
  const client = site.visit('/')
  await until(() => log.length === 1)
  client.destroy()
  await setTimeout(50)
  t.deepEqual(log, ['first'])
})

test.serial('a handler may continue after its answer, whether the client is still connected or not', async (t) => {
  const log: string[] = []
  const site = await serve(t, (app) => {
    app.use(greenlets())
    app.get('/', (_req, res) => {
      res.send('answer')
      sleep(50)
      log.push('after it')
    })
  })
  t.is((await site.ask('/')).text, 'answer')
  site.server.closeAllConnections()
  await until(() => others().length === 0)
  t.deepEqual(log, ['after it'])
})

test.serial('1,000 clients that disconnect leave nothing behind', async (t) => {
  let [parked, ended] = [0, 0]
  const exits = new Set<unknown>()
  const site = await serve(t, (app) => {
    app.use(greenlets())
    app.get('/park', (_req, _res) => {
      parked++
      try {
        JSON.parse('[1]', forever)
      } catch (error) {
        exits.add(error)
        throw error
      } finally {
        ended++
      }
    })
    app.get('/', (_req, res) => void res.send(wait(setTimeout(1, 'fine'))))
  })
  // More requests than there are slots: leaking one slot for each request would be noticed.
  for (let round = 1; round <= 10; round++) {
    const clients = Array.from({ length: 100 }, () => site.visit('/park'))
    await until(() => parked === round * 100)
    for (const client of clients) client.destroy()
    await until(() => ended === round * 100)
    t.deepEqual(others(), [])
  }
  t.true([...exits].every((exit) => exit instanceof GreenletExit))
  const answers = await Promise.all(Array.from({ length: 200 }, () => site.ask('/')))
  t.true(answers.every(({ text }) => text === 'fine'))
})
