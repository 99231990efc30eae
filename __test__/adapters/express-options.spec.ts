// The options of greenlets() and what it gives: deadlines, limits, the end of a server; and bind(). For Express 5 and 4.

import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import test from 'ava'
import type { ErrorRequestHandler, Response } from 'express'
import standard, { bind, greenlets, type Middleware } from '../../js/adapters/express.ts'
import { Greenlet, type GreenletError, GreenletExit, sleep, wait } from '../../js/index.ts'
import { pending, until } from '../helpers/promises.ts'
import { closingFacts } from './closing.ts'
import { others, serve, VERSIONS } from './server.ts'

// The tests check the warnings, so they are not printed.
const warnings: (Error & { code?: string })[] = []
process.removeAllListeners('warning')
process.on('warning', (warning) => warnings.push(warning))

test.afterEach.always('no greenlet and no warning is left', async (t) => {
  await until(() => others().length === 0)
  t.deepEqual(warnings.splice(0), [])
})

const forever = (): void => sleep(1e6)

/** Waits, then answers with what it got. */
const answerWithError: ErrorRequestHandler = (error: Error & { status?: number; code?: string }, _req, res, _next) => {
  sleep(1)
  res.status(error.status ?? 500).json([error.code, error.message])
}

test('options are checked, and unknown ones are refused', (t) => {
  const wrong = (options: unknown, message: RegExp, instanceOf: ErrorConstructor = TypeError): void => {
    t.throws(() => greenlets(options as never), { instanceOf, code: 'ERR_GREENLET_INVALID_ARG', message })
  }
  wrong({ limits: 3 }, /^greenlets\(\) has no option 'limits'; it has timeout, limit, grace, name$/)
  wrong(3, /^the options of greenlets\(\) are an object, not the number 3$/)
  wrong(null, /are an object, not null/)
  wrong({ timeout: '3' }, /^timeout must be a number, not '3'/)
  wrong({ timeout: 0 }, /^timeout must be from 1 to 2147483647, not 0; leave it out for no timeout$/, RangeError)
  wrong({ limit: 0 }, /^limit must be an integer from 1 to .*; leave it out for no limit$/, RangeError)
  wrong({ limit: 1.5 }, /integer from 1 to .*, not 1\.5$/, RangeError)
  wrong({ grace: -1 }, /^grace must be from 0 to/, RangeError)
  wrong({ name: 7 }, /^the name of greenlets\(\) must be a string, not the number 7/)
  t.notThrows(() => greenlets({ timeout: undefined, limit: 1, grace: 0, name: '' }))
  t.is(standard, greenlets)
})

test('close() checks its options and can be called again', async (t) => {
  const middleware = greenlets()
  t.is(middleware.living.size, 0)
  await t.throwsAsync(middleware.close({ graze: 1 } as never), {
    instanceOf: TypeError,
    message: /^close\(\) has no option 'graze'; it has grace$/,
  })
  await middleware.close()
  await Promise.all([middleware.close({ grace: 0 }), middleware.close()])
})

test('bind() takes a function, inside a request or with one', (t) => {
  const invalid = { instanceOf: TypeError, code: 'ERR_GREENLET_INVALID_ARG' }
  t.throws(() => bind(3 as never), { ...invalid, message: /takes a function, not the number 3/ })
  t.throws(() => bind({} as never, () => {}), { ...invalid, message: /that greenlets\(\) has seen/ })
})

for (const [version, make] of VERSIONS) {
  test.serial(`${version}: a deadline is thrown where the request waits, and finally blocks run`, async (t) => {
    const log: string[] = []
    const site = await serve(
      t,
      (app) => {
        app.use(greenlets({ timeout: 30 }))
        app.get('/deep', (_req, _res) => {
          try {
            ;[1].map(forever)
          } catch (error) {
            log.push((error as GreenletError).code)
            throw error
          } finally {
            sleep(1)
            log.push('finally')
          }
        })
        app.get('/caught', (_req, res) => {
          try {
            forever()
          } catch (error) {
            res.send(`instead of ${(error as Error).name}`)
          }
        })
        app.use(answerWithError)
      },
      make,
    )
    const { status, text } = await site.ask('/deep')
    t.is(status, 503)
    t.regex(
      text,
      /^\["ERR_GREENLET_TIMEOUT","request 'GET \/deep' was not answered within 30 ms, .*greenlets\({ timeout }\)/,
    )
    t.deepEqual(log, ['ERR_GREENLET_TIMEOUT', 'finally'])
    t.regex((await site.ask('/caught')).text, /^instead of \w+Error$/)
  })

  test.serial(
    `${version}: after an await, a deadline answers, and what the handler does later is ignored`,
    async (t) => {
      const gate = pending<void>()
      const done: string[] = []
      const site = await serve(
        t,
        (app) => {
          app.use(greenlets({ timeout: 30 }))
          app.get('/throws', async (_req, _res, next) => {
            await gate.promise
            done.push('threw')
            next(new Error('too late'))
          })
          app.get('/answers', async (_req, res) => {
            await gate.promise
            done.push('answered')
            if (!res.headersSent) res.send('too late')
          })
          app.get('/never', () => {})
          app.use(answerWithError)
        },
        make,
      )
      for (const path of ['/throws', '/answers', '/never']) {
        const { status, text } = await site.ask(path)
        t.is(status, 503, path)
        t.regex(text, /ERR_GREENLET_TIMEOUT/)
      }
      gate.resolve()
      await until(() => done.length === 2)
      await setTimeout(5)
    },
  )

  test.serial(`${version}: a handler that catches its deadline and goes on is killed after the grace`, async (t) => {
    const log: string[] = []
    const site = await serve(
      t,
      (app) => {
        app.use(greenlets({ timeout: 20, grace: 300 }))
        app.get('/', () => {
          for (;;) {
            try {
              forever()
            } catch (error) {
              log.push((error as GreenletError).code)
              if (error instanceof GreenletExit) throw error
            }
          }
        })
        app.use(answerWithError)
      },
      make,
    )
    const { status, text } = await site.ask('/')
    t.is(status, 503)
    t.regex(text, /ERR_GREENLET_TIMEOUT/)
    t.deepEqual(log, ['ERR_GREENLET_TIMEOUT', 'ERR_GREENLET_EXIT'])
  })

  test.serial(`${version}: requests over the limit get a 503 with Retry-After before any handler runs`, async (t) => {
    const gate = pending<void>()
    let handled = 0
    const limited = greenlets({ limit: 3 })
    const site = await serve(
      t,
      (app) => {
        app.use(limited)
        app.get('/custom', () => {})
        app.use((_req, res) => {
          handled++
          wait(gate.promise)
          res.send('handled')
        })
        app.use('/custom', answerWithError)
      },
      make,
    )
    const parked = [1, 2, 3].map(() => site.ask('/'))
    await until(() => handled === 3)
    t.is(limited.living.size, 3)
    for (const path of ['/', '/custom', '/', '/custom']) {
      const { status, headers, text } = await site.ask(path)
      t.is(status, 503)
      t.is(headers['retry-after'], '1')
      if (path === '/custom') t.regex(text, /^\["ERR_GREENLET_LIMIT","3 requests are being handled/)
    }
    t.is(handled, 3)
    gate.resolve()
    for (const { text } of await Promise.all(parked)) t.is(text, 'handled')
    await until(() => limited.living.size === 0)
    t.is((await site.ask('/')).text, 'handled')
  })

  test.serial(`${version}: a request counts until it is answered and its greenlets have ended`, async (t) => {
    const gate = pending<void>()
    let answer: (() => void) | undefined
    const site = await serve(
      t,
      (app) => {
        app.use(greenlets({ limit: 1 }))
        app.get('/later', (_req, res) => {
          res.send('sent')
          wait(gate.promise)
        })
        app.get('/main', (_req, res) => void (answer = () => res.send('sent')))
      },
      make,
    )
    t.is((await site.ask('/later')).text, 'sent')
    t.is((await site.ask('/later')).status, 503)
    gate.resolve()
    await until(() => others().length === 0)
    const first = site.ask('/main')
    await until(() => answer !== undefined)
    t.is((await site.ask('/main')).status, 503)
    answer!()
    t.is((await first).status, 200)
    const last = site.ask('/later')
    t.is((await last).status, 200)
  })

  test.serial(`${version}: close() waits for requests, refuses new ones, and can be called twice`, async (t) => {
    const gate = pending<void>()
    const middleware = greenlets({ name: 'shop' })
    const site = await serve(
      t,
      (app) => {
        app.use(middleware)
        app.get('/', (_req, res) => void res.send(wait(gate.promise.then(() => 'answered'))))
      },
      make,
    )
    const answer = site.ask('/')
    await until(() => middleware.living.size === 1)
    t.deepEqual(
      [...middleware.living].map(({ name }) => name),
      ['shop GET /'],
    )
    let closed = 0
    const closing = [middleware.close(), middleware.close()].map((promise) => promise.then(() => closed++))
    const refused = await site.ask('/')
    t.is(refused.status, 503)
    t.is(refused.headers['retry-after'], '1')
    t.is(closed, 0)
    gate.resolve()
    await Promise.all(closing)
    t.is((await answer).text, 'answered')
    await middleware.close()
  })

  test.serial(`${version}: close() kills after the grace, with finally blocks, and clients get a 503`, async (t) => {
    const middleware = greenlets()
    const log: string[] = []
    const site = await serve(
      t,
      (app) => {
        app.use(middleware)
        app.get('/waits', () => {
          try {
            forever()
          } finally {
            sleep(5)
            log.push('finally')
          }
        })
        app.get('/main', () => void log.push('on main'))
        app.use(answerWithError)
      },
      make,
    )
    const answers = [site.ask('/waits'), site.ask('/main')]
    await until(() => middleware.living.size === 1 && log.length === 1)
    await middleware.close({ grace: 10 })
    t.deepEqual(log, ['on main', 'finally'])
    for (const { status, text } of await Promise.all(answers)) {
      t.is(status, 503)
      t.regex(text, /ERR_GREENLET_CLOSED/)
    }
    t.is(middleware.living.size, 0)
  })

  closingFacts(version, async (t, options, handler) => {
    const control = greenlets(options)
    return { ...(await serve(t, (app) => app.use(control).get('/', handler), make)), control }
  })

  test.serial(`${version}: greenlets() for a part of the app has limits and a deadline of its own`, async (t) => {
    const outer = greenlets({ timeout: 60_000 })
    const inner = greenlets({ timeout: 300, limit: 1 })
    const site = await serve(
      t,
      (app) => {
        app.use(outer)
        app.use('/part', inner, inner, (_req, _res) => forever())
        app.get('/', (_req, res) => void res.send(wait(setTimeout(400, 'in time'))))
        app.use(answerWithError)
      },
      make,
    )
    const [first, second] = await Promise.all([site.ask('/part'), site.ask('/part')])
    t.deepEqual([first!.status, second!.status], [503, 503])
    t.deepEqual([first!.text, second!.text].map((text) => (JSON.parse(text) as string[])[0]).toSorted(), [
      'ERR_GREENLET_LIMIT',
      'ERR_GREENLET_TIMEOUT',
    ])
    t.is((await site.ask('/')).text, 'in time')
    t.is(outer.living.size + inner.living.size, 0)
  })

  test.serial(`${version}: a bound callback or listener of a request may wait`, async (t) => {
    const log: unknown[] = []
    const site = await serve(
      t,
      (app) => {
        app.engine('ts', (_path, _options, callback) => process.nextTick(callback, null, '<p>'))
        app.set('views', import.meta.dirname ?? new URL('.', import.meta.url).pathname)
        app.use(greenlets())
        app.get('/', (req, res) => {
          const finished = bind(function onFinish(this: Response, ..._args: unknown[]) {
            sleep(1)
            log.push(this === res, Greenlet.current === req.greenlet)
          })
          log.push(finished.name, finished.length)
          res.on('finish', finished)
          const render = bind((_error: Error, html: string) => res.send(wait(setTimeout(1, html))))
          res.render('express-options.spec.ts', render)
        })
        app.get('/returns', (_req, res) => {
          const double = bind((n: number) => n * 2)
          const later = bind((n: number) => wait(setTimeout(1, n)))
          setImmediate(() => res.json([double(4), later(4) === undefined]))
        })
        app.get('/async', async (req, res) => {
          await setTimeout(1)
          setImmediate(bind(req, () => res.send(wait(setTimeout(1, 'bound')))))
        })
        app.get('/throws', () => {
          setImmediate(
            bind(() => {
              sleep(1)
              throw new Error('of a callback')
            }),
          )
        })
        app.use(answerWithError)
      },
      make,
    )
    t.is((await site.ask('/')).text, '<p>')
    await until(() => log.length === 4)
    t.deepEqual(log, ['onFinish', 0, true, true])
    t.is((await site.ask('/returns')).text, '[8,true]')
    t.is((await site.ask('/async')).text, 'bound')
    const { status, text } = await site.ask('/throws')
    t.deepEqual([status, text], [500, '[null,"of a callback"]'])
  })

  test.serial(`${version}: an error of a bound listener after the answer is a warning`, async (t) => {
    const site = await serve(
      t,
      (app) => {
        app.use(greenlets())
        app.get('/', (_req, res) => {
          res.on(
            'finish',
            bind(() => {
              sleep(1)
              throw new Error('after the answer')
            }),
          )
          res.send('answer')
        })
      },
      make,
    )
    const warned = once(process, 'warning') as Promise<[Error]>
    t.is((await site.ask('/')).text, 'answer')
    t.is((await warned)[0].message, 'after the answer')
    warnings.length = 0
  })

  test.serial(
    `${version}: bound callbacks are killed with their request, and may wait after the client has left`,
    async (t) => {
      const log: string[] = []
      const site = await serve(
        t,
        (app) => {
          app.use(greenlets())
          app.get('/', (_req, res) => {
            res.on(
              'close',
              bind(() => (sleep(1), log.push('after close'))),
            )
            setImmediate(
              bind(() => {
                try {
                  forever()
                } finally {
                  log.push('killed')
                }
              }),
            )
          })
        },
        make,
      )
      const client = site.visit('/')
      await until(() => others().length > 0)
      client.destroy()
      await until(() => log.length === 2)
      t.deepEqual(log, ['killed', 'after close'])
    },
  )

  test.serial(`${version}: a loop that tries again after each error gets the exit again until it ends`, async (t) => {
    let tries = 0
    const site = await serve(
      t,
      (app) => {
        app.use(greenlets({ grace: 50 }))
        app.get('/', () => {
          while (tries < 4) {
            try {
              forever()
            } catch {
              tries++
            }
          }
        })
      },
      make,
    )
    const client = site.visit('/')
    await until(() => others().length > 0)
    client.destroy()
    await until(() => others().length === 0)
    t.is(tries, 4)
    t.deepEqual(warnings.splice(0), [])
  })

  test.serial(`${version}: cleanup that takes longer than the grace is reported once and ended`, async (t) => {
    const log: string[] = []
    const site = await serve(
      t,
      (app) => {
        app.use(greenlets({ grace: 50 }))
        app.get('/', () => {
          try {
            forever()
          } finally {
            try {
              forever()
            } finally {
              log.push('ended')
            }
          }
        })
      },
      make,
    )
    const client = site.visit('/')
    await until(() => others().length > 0)
    client.destroy()
    await until(() => others().length === 0)
    t.deepEqual(log, ['ended'])
    const [warning, ...more] = warnings.splice(0)
    t.is(warning?.code, 'ERR_GREENLET_KILL_REFUSED')
    t.deepEqual(more, [], 'it is reported once')
  })

  test.serial(
    `${version}: handlers that answer twice, throw after the answer, or leave by hand hurt no other request`,
    async (t) => {
      const middleware: Middleware = greenlets()
      const failed: string[] = []
      const site = await serve(
        t,
        (app) => {
          app.use(middleware)
          app.get('/twice', (_req, res) => {
            res.send('first')
            sleep(1)
            res.send('second')
          })
          app.get('/after', (_req, res) => {
            res.send('answer')
            sleep(1)
            throw new Error('after it')
          })
          app.get('/by-hand', greenlets({ timeout: 50 }), (_req, res) => {
            Greenlet.main.switch()
            res.send('not here')
          })
          app.get('/itself', () => Greenlet.current.kill())
          app.get('/good', (_req, res) => void res.send(wait(setTimeout(2, 'good'))))
          app.use(((error: GreenletError, _req, res, _next) => {
            failed.push(error.code ?? error.message)
            if (!res.headersSent) res.status(503).send(error.code)
          }) as ErrorRequestHandler)
        },
        make,
      )
      const texts = await Promise.all(
        ['/twice', '/good', '/after', '/by-hand', '/itself', '/good'].map(async (path) => (await site.ask(path)).text),
      )
      t.deepEqual(texts, ['first', 'good', 'answer', 'ERR_GREENLET_TIMEOUT', 'ERR_GREENLET_EXIT', 'good'])
      await until(() => failed.length === 4)
      t.deepEqual(failed.toSorted(), ['ERR_GREENLET_EXIT', 'ERR_GREENLET_TIMEOUT', 'ERR_HTTP_HEADERS_SENT', 'after it'])
    },
  )
}
