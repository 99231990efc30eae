// The facts that hold for the adapter of each framework.

import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { Greenlet, GreenletExit, sleep, wait } from '../../js/index.ts'
import { retry } from '../../js/tools/index.ts'
import { pending, until } from '../helpers/promises.ts'
import { closingFacts } from './closing.ts'
import type { App, Asked, Kit, Step } from './kits.ts'
import { addRandom, PATHS, randomApp, randomNumbers } from './random.ts'
import { others } from './server.ts'

const SEED = Number(process.env['ADAPTERS_SEED'] ?? Date.now() % 1e6)
const forever = (): void => sleep(1e6)
/** An answer of the error handler. */
const codeOf = (error: unknown): string => (error as Error & { code: string }).code
/** Waits inside of a function that cannot be async. */
const deep = <T>(promise: Promise<T>): T => JSON.parse('[1]', () => wait(promise)) as T

/** Disconnects a client while its request is parked. Returns the log of what happened on the server. */
async function abandon(t: ExecutionContext, kit: Kit, add: (app: App, log: string[]) => void): Promise<string[]> {
  const log: string[] = []
  const uncaught: unknown[] = []
  const keep = (error: unknown): unknown => uncaught.push(error)
  process.on('uncaughtException', keep).on('unhandledRejection', keep)
  const site = await kit.serve(
    t,
    {},
    (app) => add(app, log),
    (error) => {
      log.push(`the error handler got ${error.constructor.name}`)
      return 'failed'
    },
  )
  const client = site.visit('/')
  await until(() => others().length > 0)
  client.destroy()
  await until(() => others().length === 0 && site.control.living.size === 0)
  await setTimeout(10)
  process.off('uncaughtException', keep).off('unhandledRejection', keep)
  t.deepEqual(uncaught, [])
  return log
}

export function facts(kit: Kit): void {
  const { name } = kit
  closingFacts(name, (t, options, handler) => kit.serve(t, options, (app) => app.get('/', handler)))

  test.afterEach.always('no greenlet is left', async (t) => {
    await until(() => others().length === 0)
    t.deepEqual(others(), [])
  })

  test.serial(`${name}: 200 requests wait at the same time, and each gets its own answer`, async (t) => {
    const gates = Array.from({ length: 200 }, () => pending<string>())
    const store = new AsyncLocalStorage<string>()
    const greenlets = new Set<Greenlet>()
    const site = await kit.serve(t, {}, (app) => {
      app.step(({ path }) => store.enterWith(path))
      for (const i of gates.keys()) {
        app.get(`/${i}`, (asked) => {
          greenlets.add(asked.greenlet)
          const mine = asked.greenlet === Greenlet.current
          const value = deep(gates[i]!.promise)
          return JSON.stringify([mine, asked.greenlet === Greenlet.current, value, store.getStore(), asked.path])
        })
      }
    })
    const answers = gates.map((_, i) => site.ask(`/${i}`))
    await until(() => greenlets.size === 200 && others().length === 200)
    t.is(site.control.living.size, 200)
    for (const i of [...gates.keys()].toReversed()) gates[i]!.resolve(`value ${i}`)
    for (const [i, { text }] of (await Promise.all(answers)).entries()) {
      t.is(text, JSON.stringify([true, true, `value ${i}`, `/${i}`, `/${i}`]))
    }
    t.true([...greenlets].every((greenlet) => /^GET \/\d+$/.test(greenlet.name) && greenlet.dead))
  })

  test.serial(`${name}: each step may wait, also after others that await or call back`, async (t) => {
    const log: string[] = []
    const here = (what: string, { greenlet }: Asked): void =>
      void log.push(`${what} ${greenlet === Greenlet.current && greenlet !== Greenlet.main}`)
    const kinds: Record<string, Step> = {
      waits: (asked) => (sleep(1), here('waits', asked)),
      awaits: async (asked) => {
        here('awaits', asked)
        await setTimeout(1)
      },
      'waits and awaits': async (asked) => {
        sleep(1)
        here('waits and awaits', asked)
        await Promise.resolve()
      },
      'gives a timer': () => setTimeout(1),
      'does nothing': () => {},
    }
    const site = await kit.serve(t, {}, (app) => {
      for (const step of Object.values(kinds)) {
        app.step(step)
        app.step((asked) => (sleep(1), here('next', asked)))
      }
      app.get('/', (asked) => (sleep(1), here('handler', asked), 'answer'))
    })
    for (let i = 0; i < 2; i++) {
      t.is((await site.ask('/')).text, 'answer')
      t.deepEqual(log.splice(0), [
        'waits true',
        'next true',
        'awaits true',
        'next true',
        'waits and awaits true',
        'next true',
        'next true',
        'next true',
        'handler true',
      ])
    }
  })

  test.serial(`${name}: an error goes to the error handler, whether it comes before or after a wait`, async (t) => {
    const fail = (path: string): never => {
      throw Object.assign(new Error(`error of ${path}`), path.includes('teapot') ? { status: 418 } : {})
    }
    const site = await kit.serve(t, {}, (app) => {
      app.step(({ path }) => {
        if (!path.startsWith('/step')) return
        if (path.includes('wait')) deep(setTimeout(1))
        fail(path)
      })
      app.get('/throws', ({ path }) => fail(path))
      app.get('/waits', ({ path }) => (deep(setTimeout(1)), fail(path)))
      app.get('/teapot', ({ path }) => (sleep(1), fail(path)))
      app.get('/async', async ({ path }) => (sleep(1), await Promise.resolve(), fail(path)))
      app.get('/rejected', ({ path }) => wait(Promise.reject(new Error(`error of ${path}`))))
    })
    for (const path of ['/step', '/step-waits', '/throws', '/waits', '/async', '/rejected']) {
      const { status, text } = await site.ask(path)
      t.deepEqual([status, text], [500, `failed: error of ${path}`])
    }
    t.is((await site.ask('/teapot')).status, 418)
  })

  const parked: Record<string, (app: App, log: string[]) => void> = {
    'a handler': (app, log) =>
      app.get('/', () => {
        try {
          return JSON.parse('[1]', forever)
        } finally {
          log.push('finally')
        }
      }),
    'a step': (app, log) => {
      app.step(() => {
        try {
          forever()
        } finally {
          log.push('finally')
        }
      })
      app.step(() => void log.push('the next step'))
      app.get('/', () => void log.push('the handler'))
    },
    'an async handler': (app, log) =>
      app.get('/', async () => {
        try {
          forever()
        } finally {
          log.push('finally')
        }
      }),
    'an async function that the handler awaits': (app, log) => {
      const load = async (): Promise<string> => {
        try {
          forever()
        } finally {
          log.push('finally')
        }
        return 'value'
      }
      app.get('/', async () => await load())
    },
    'an async function that nothing awaits': (app, log) => {
      app.get('/', async () => {
        void (async () => {
          try {
            forever()
          } finally {
            log.push('finally')
          }
        })()
        return 'not here'
      })
    },
    'a handler that catches everything': (app, log) =>
      app.get('/', () => {
        try {
          forever()
        } catch {
          log.push('finally')
        }
        return 'not sent'
      }),
    'a handler that waits in a finally block': (app, log) =>
      app.get('/', () => {
        try {
          forever()
        } finally {
          sleep(5)
          log.push('finally')
        }
      }),
    'a handler after an async step': (app, log) => {
      app.step(() => setTimeout(1))
      app.get('/', () => {
        try {
          forever()
        } finally {
          log.push('finally')
        }
      })
    },
  }
  for (const [what, add] of Object.entries(parked)) {
    test.serial(`${name}: a client that disconnects ends ${what}, and no other code runs`, async (t) => {
      t.deepEqual(await abandon(t, kit, add), ['finally'])
    })
  }

  test.serial(`${name}: no more steps run for a client that has disconnected between two steps`, async (t) => {
    const log: string[] = []
    const gate = pending<void>()
    const site = await kit.serve(t, {}, (app) => {
      app.step(async ({ response }) => {
        log.push('first')
        response.on('close', () => log.push('closed'))
        await gate.promise
      })
      app.step(() => void log.push('second'))
      app.get('/', () => void log.push('handler'))
    })
    const client = site.visit('/')
    await until(() => log.length === 1)
    client.destroy()
    await until(() => log.length === 2)
    gate.resolve()
    await setTimeout(20)
    t.deepEqual(log, ['first', 'closed'])
  })

  test.serial(`${name}: an error in the cleanup of a disconnected client goes to the error handler`, async (t) => {
    const log = await abandon(t, kit, (app) =>
      app.get('/', () => {
        try {
          forever()
        } finally {
          // oxlint-disable-next-line no-unsafe-finally -- this is what the test is about
          throw new RangeError('of cleaning up')
        }
      }),
    )
    t.deepEqual(log, ['the error handler got RangeError'])
  })

  test.serial(`${name}: a deadline is an error 503 where the request waits`, async (t) => {
    const log: string[] = []
    const site = await kit.serve(
      t,
      { timeout: 50, grace: 2000 },
      (app) => {
        app.step(({ path }) => {
          if (path !== '/step') return
          try {
            forever()
          } finally {
            log.push('finally of the step')
          }
        })
        app.get('/step', () => 'not here')
        app.get('/waits', () => {
          try {
            forever()
          } finally {
            log.push('finally')
          }
        })
        app.get('/awaits', async () => {
          sleep(1)
          await new Promise(() => {})
        })
        app.get('/in-time', () => (sleep(1), 'in time'))
      },
      codeOf,
    )
    for (const path of ['/waits', '/awaits', '/step']) {
      const { status, text } = await site.ask(path)
      t.deepEqual([status, text], [503, 'ERR_GREENLET_TIMEOUT'], path)
    }
    t.is((await site.ask('/in-time')).text, 'in time')
    t.deepEqual(log, ['finally', 'finally of the step'])
  })

  test.serial(`${name}: a deadline is not tried again by retry()`, async (t) => {
    let attempts = 0
    const site = await kit.serve(
      t,
      { timeout: 30 },
      (app) => {
        app.get('/', () => {
          const attempt = (): void => {
            attempts++
            sleep(100)
          }
          retry(attempt, { times: 5 })
        })
      },
      codeOf,
    )
    const { status, text } = await site.ask('/')
    t.deepEqual([status, text, attempts], [503, 'ERR_GREENLET_TIMEOUT', 1])
  })

  test.serial(`${name}: a client that disconnects after the deadline does not interrupt the cleanup`, async (t) => {
    const log: string[] = []
    const cleanup = pending<void>()
    const site = await kit.serve(t, { timeout: 30, grace: 60_000 }, (app) => {
      app.get('/', () => {
        try {
          forever()
        } finally {
          log.push('begins')
          wait(cleanup.promise)
          log.push('ends')
        }
      })
    })
    const visit = site.visit('/').on('error', () => {})
    await until(() => log.length === 1)
    visit.destroy()
    await new Promise((resolve) => visit.on('close', resolve))
    await setTimeout(50)
    cleanup.resolve()
    await until(() => others().length === 0)
    t.deepEqual(log, ['begins', 'ends'])
  })

  test.serial(`${name}: a request above the limit is refused before any step`, async (t) => {
    const gate = pending<void>()
    const log: string[] = []
    const site = await kit.serve(
      t,
      { limit: 1 },
      (app) => {
        app.step(({ path }) => void log.push(path))
        app.get('/', () => (wait(gate.promise), 'first'))
        app.get('/second', () => 'not here')
        app.get('/third', () => 'third')
      },
      codeOf,
    )
    const first = site.ask('/')
    await until(() => others().length === 1)
    const { status, headers, text } = await site.ask('/second')
    t.deepEqual([status, headers['retry-after'], text], [503, '1', 'ERR_GREENLET_LIMIT'])
    gate.resolve()
    t.is((await first).text, 'first')
    await until(() => others().length === 0)
    // The server hears a bit later that the answer is finished.
    let third = await site.ask('/third')
    while (third.status === 503) third = await site.ask('/third')
    t.is(third.text, 'third')
    t.deepEqual(log, ['/', '/third'])
  })

  test.serial(
    `${name}: close() waits for requests, refuses new ones, and kills those that take too long`,
    async (t) => {
      const gate = pending<void>()
      const log: string[] = []
      const site = await kit.serve(
        t,
        { grace: 60_000, name: 'shop' },
        (app) => {
          app.get('/short', () => (wait(gate.promise), 'short'))
          app.get('/long', () => {
            try {
              forever()
            } finally {
              log.push('finally')
            }
          })
          app.get('/new', () => 'not here')
        },
        codeOf,
      )
      const [short, long] = [site.ask('/short'), site.ask('/long')]
      await until(() => site.control.living.size === 2)
      t.deepEqual([...site.control.living].map((greenlet) => greenlet.name).toSorted(), [
        'shop GET /long',
        'shop GET /short',
      ])
      const closed = site.control.close()
      const late = await site.ask('/new')
      t.deepEqual([late.status, late.text, late.headers['retry-after']], [503, 'ERR_GREENLET_CLOSED', '1'])
      gate.resolve()
      t.is((await short).text, 'short')
      t.deepEqual(log, [])
      const again = site.control.close({ grace: 10 })
      const killed = await long
      t.deepEqual([killed.status, killed.text], [503, 'ERR_GREENLET_CLOSED'])
      await Promise.all([closed, again])
      t.deepEqual(log, ['finally'])
      t.is(site.control.living.size, 0)
    },
  )

  test.serial(`${name}: handlers that misuse greenlets get an error, and the server goes on`, async (t) => {
    const site = await kit.serve(
      t,
      {},
      (app) => {
        app.get('/killed', ({ greenlet }) => {
          setImmediate(() => greenlet.kill())
          forever()
        })
        app.get('/throws-exit', () => {
          sleep(1)
          throw new GreenletExit()
        })
        app.get('/kills-itself', ({ greenlet }) => greenlet.kill())
        app.get('/switches', ({ greenlet }) => {
          setTimeout(5).then(() => greenlet.switch())
          Greenlet.main.switch()
          return 'came back'
        })
        app.get('/alive', () => (sleep(1), 'alive'))
      },
      (error) => error.constructor.name,
    )
    for (const path of ['/killed', '/throws-exit', '/kills-itself']) {
      const { status, text } = await site.ask(path)
      t.deepEqual([status, text], [503, 'GreenletExit'], path)
    }
    t.is((await site.ask('/switches')).text, 'came back')
    t.is((await site.ask('/alive')).text, 'alive')
  })

  test.serial(`${name}: a body is read by a wait`, async (t) => {
    const site = await kit.serve(t, {}, (app) => {
      app.step(() => sleep(1))
      app.post('/', (asked) => JSON.stringify([wait(asked.body()), asked.greenlet === Greenlet.current]))
    })
    const big = 'x'.repeat(50_000)
    t.is((await site.ask('POST /', JSON.stringify({ big }))).text, JSON.stringify([{ big }, true]))
  })

  test.serial(`${name}: routers in routers, with steps of their own`, async (t) => {
    const site = await kit.serve(t, {}, (app) => {
      const here = ({ greenlet, response }: Asked, what: string): void => {
        sleep(1)
        if (greenlet === Greenlet.current) response.setHeader(`x-${what}`, 'here')
      }
      app.step((asked) => here(asked, 'outermost'))
      app.group('/a', (a) => {
        a.step(async () => await Promise.resolve())
        a.step((asked) => here(asked, 'outer'))
        a.group('/b', (b) => {
          b.step(() => setTimeout(1))
          b.step((asked) => here(asked, 'inner'))
          b.get('/c', (asked) => (here(asked, 'handler'), `c of ${asked.path}`))
          b.get('/fails', () => (sleep(1), wait(Promise.reject(new Error('of b')))))
        })
        a.get('/late', (asked) => (here(asked, 'handler'), 'late'))
      })
    })
    const seen = (headers: object): string[] =>
      Object.keys(headers)
        .filter((key) => key.startsWith('x-'))
        .toSorted()
    // The first request uses functions that the adapter has not wrapped yet.
    for (let i = 0; i < 2; i++) {
      const c = await site.ask('/a/b/c')
      t.is(c.text, 'c of /a/b/c')
      t.deepEqual(seen(c.headers), ['x-handler', 'x-inner', 'x-outer', 'x-outermost'])
      const late = await site.ask('/a/late')
      t.is(late.text, 'late')
      t.deepEqual(seen(late.headers), ['x-handler', 'x-outer', 'x-outermost'])
      t.is((await site.ask('/a/b/fails')).text, 'failed: of b')
    }
    t.is((await site.ask('/a/nothing')).status, 404)
  })

  test.serial(`${name}: random apps answer as without greenlets`, async (t) => {
    const random = randomNumbers(SEED)
    for (let i = 0; i < 20; i++) {
      const app = randomApp(random)
      const results = []
      for (const options of [undefined, {}]) {
        const logs = new Map<string, string[]>()
        const site = await kit.serve(t, options, (target) => addRandom(target, app, options !== undefined, logs))
        const answers = await Promise.all(PATHS.map((path) => site.ask(path)))
        results.push(
          answers.map(({ status, text, headers }, j) => [
            PATHS[j],
            status,
            // Some answers name the server.
            text.replace(/:\d+/, ''),
            Object.entries(headers).filter(([key]) => key.startsWith('x-')),
            logs.get(PATHS[j]!),
          ]),
        )
      }
      t.deepEqual(results[1], results[0], `seed ${SEED}, app ${i}: ${JSON.stringify(app)}`)
    }
  })

  test.serial(`${name}: bind() lets callbacks and listeners of a request wait`, async (t) => {
    const log: string[] = []
    const note = (what: string): void => {
      sleep(1)
      log.push(`${what} ${Greenlet.current.name}`)
    }
    const site = await kit.serve(t, {}, (app) => {
      app.get('/', async (asked) => {
        asked.response.on(
          'finish',
          kit.bind(() => note('finish')),
        )
        await Promise.resolve()
        const late = kit.bind(asked.owner as never, (what: string) => note(what))
        await new Promise<void>((resolve) => {
          setImmediate(() => (late('immediate'), resolve()))
        })
        return 'answer'
      })
      app.get('/parked', async (asked) => {
        const parked = kit.bind(asked.owner as never, () => {
          try {
            forever()
          } finally {
            log.push('finally')
          }
        })
        setImmediate(parked)
        await new Promise(() => {})
      })
    })
    t.is((await site.ask('/')).text, 'answer')
    await until(() => log.length === 2)
    t.deepEqual(log.splice(0).toSorted(), ['finish GET /', 'immediate GET /'])
    const client = site.visit('/parked')
    await until(() => others().length === 1)
    client.destroy()
    await until(() => log.length === 1)
    t.deepEqual(log, ['finally'])
    t.throws(() => kit.bind({} as never, () => {}), { code: 'ERR_GREENLET_INVALID_ARG' })
  })

  test.serial(`${name}: wrong options are refused`, async (t) => {
    for (const options of [{ timeOut: 1 }, { limit: 0 }, { timeout: Number.NaN }, 7] as object[]) {
      const error = await t.throwsAsync(kit.serve(t, options, () => {}))
      t.is((error as Error & { code?: string }).code, 'ERR_GREENLET_INVALID_ARG')
    }
  })
}
