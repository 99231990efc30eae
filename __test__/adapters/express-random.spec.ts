// Random apps of Express 5 and 4, each made twice: plain, and with greenlets(). Both must answer each request alike, and call the
// same handlers in the same order. In the app with greenlets(), handlers wait before they go on.
//
// RANDOM_APPS_SEED repeats a failure; RANDOM_APPS sets how many apps there are.

import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import test from 'ava'
import type express from 'express'
import type { IRouter, NextFunction, Request, Response } from 'express'
import { greenlets } from '../../js/adapters/express.ts'
import { Greenlet, sleep } from '../../js/index.ts'
import { until } from '../helpers/promises.ts'
import { others, VERSIONS } from './server.ts'

const SEED = Number(process.env['RANDOM_APPS_SEED'] ?? 20_261_129)
const APPS = Number(process.env['RANDOM_APPS'] ?? 12)
const REQUESTS = 12
const PATHS = ['/a', '/b', '/a/b', '/a/7', '/b/8/a', '/b/a/a', '/c']

/** A small generator of random numbers (mulberry32): the same for the same seed on all Nodes. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

type Log = string[]
const logOf = (res: Response): Log => (res.locals['log'] ??= []) as Log
const answer = (res: Response, text: string): void => {
  if (!res.headersSent) res.send(`${logOf(res).join(' ')} ${text}`)
}

/** What a handler does when it has written its name into the log. Each is for plain Express too. */
const ENDINGS: readonly ((req: Request, res: Response, next: NextFunction, name: string) => unknown)[] = [
  (_req, _res, next) => next(),
  (_req, _res, next) => next(),
  (_req, res, next, name) => {
    next()
    logOf(res).push(`after-${name}`)
  },
  (_req, _res, next) => void setImmediate(next),
  (_req, _res, next) => queueMicrotask(() => next()),
  (_req, _res, next) => process.nextTick(next),
  // oxlint-disable-next-line no-callback-in-promise -- programs do it
  (_req, _res, next) => void Promise.resolve().then(() => next()),
  (_req, res, _next, name) => answer(res, `from ${name}`),
  (_req, res, _next, name) => void setImmediate(() => answer(res, `later from ${name}`)),
  (_req, _res, next, name) => next(new Error(`passed by ${name}`)),
  (_req, _res, next, name) => void setImmediate(() => next(new Error(`passed later by ${name}`))),
  (_req, _res, _next, name) => {
    throw new Error(`thrown by ${name}`)
  },
  (_req, _res, next) => next('route'),
  (_req, _res, next) => next('router'),
]
/** So many at the beginning of the list call `next()`. */
const GOING_ON = 7
/** Only Express 5 takes the promise of a handler. */
const ASYNC_ENDINGS: typeof ENDINGS = [
  async (_req, _res, next) => next(),
  async (_req, _res, next) => {
    await undefined
    next()
  },
  async (_req, _res, _next, name) => {
    await undefined
    throw new Error(`rejected by ${name}`)
  },
]

interface Kind {
  readonly make: typeof express
  readonly endings: typeof ENDINGS
  /** Called in each handler. */
  readonly pause: () => void
}

/** Adds random handlers, routers and apps. The numbers come in the same order for the plain app and the other one. */
function fill(router: IRouter, depth: number, pick: (below: number) => number, kind: Kind, label: string): void {
  const handler = (name: string): express.RequestHandler => {
    // Most handlers go on, so that requests come far.
    const ending = kind.endings[pick(pick(2) === 0 ? GOING_ON : kind.endings.length)]!
    return (req, res, next) => {
      kind.pause()
      logOf(res).push(`${name}(${req.url})`)
      return ending(req, res, next, name)
    }
  }
  const errorHandler = (name: string): express.ErrorRequestHandler => {
    const ending = pick(4)
    return (error: Error, _req, res, next) => {
      kind.pause()
      logOf(res).push(`${name}[${error.message}]`)
      if (ending === 0) next(error)
      else if (ending === 1) setImmediate(() => next(error))
      else if (ending === 2) next()
      else answer(res, `handled by ${name}`)
    }
  }
  const count = 3 + pick(4)
  for (let i = 0; i < count; i++) {
    const name = `${label}${i}`
    const path = PATHS[pick(3)]!
    const choice = pick(depth > 0 ? 8 : 6)
    if (choice === 0) router.use(handler(name))
    else if (choice === 1) router.get(`${path}/:id`, handler(name), handler(`${name}x`))
    else if (choice === 2) router.get(path, handler(name), handler(`${name}y`), handler(`${name}z`))
    else if (choice === 3) router.use(path, handler(name))
    else if (choice === 4) router.use(errorHandler(name))
    else if (choice === 5) {
      router.param('id', (_req, res, next, id) => {
        kind.pause()
        logOf(res).push(`${name}:${id}`)
        if (i % 3 === 0) setImmediate(next)
        else if (i % 3 === 1 && id === '8') throw new Error(`of param ${name}`)
        else next()
      })
    } else {
      const inner = choice === 6 ? kind.make.Router({ mergeParams: pick(2) === 0 }) : kind.make()
      fill(inner as IRouter, depth - 1, pick, kind, `${name}.`)
      router.use(path, inner as express.RequestHandler)
    }
  }
}

function makeApp(kind: Kind, seed: number, inGreenlets: boolean): express.Express {
  const app = kind.make()
  app.set('env', 'test')
  if (inGreenlets) app.use(greenlets())
  const pick = random(seed)
  fill(app, 2, pick, kind, '')
  app.use(((error: Error, _req, res, _next) => {
    if (!res.headersSent) res.status(500).send(`${logOf(res).join(' ')} error ${error.message}`)
  }) as express.ErrorRequestHandler)
  app.use((_req, res) => answer(res, 'nothing'))
  return app
}

async function answersOf(app: express.Express, paths: readonly string[]): Promise<string[]> {
  const server = http.createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const agent = new http.Agent({ keepAlive: true, maxSockets: 6 })
  const ask = (path: string): Promise<string> =>
    new Promise((resolve) => {
      const failed = (error: NodeJS.ErrnoException): void => resolve(`failed: ${error.code}`)
      const request = http.get({ host: '127.0.0.1', port, path, agent }, (response) => {
        let text = `${response.statusCode} `
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        response.on('end', () => resolve(text)).on('error', failed)
      })
      request.on('error', failed)
    })
  const answers = await Promise.all(paths.map(ask))
  agent.destroy()
  server.closeAllConnections()
  server.close()
  return answers
}

for (const [version, make] of VERSIONS) {
  test(`${version}: random apps answer as without greenlets()`, async (t) => {
    const endings = version === 'Express 5' ? [...ENDINGS, ...ASYNC_ENDINGS] : ENDINGS
    let waits = 0
    const pause = (): void => {
      // After an await, for example, a handler may be called in no greenlet only if greenlets() has failed.
      if (Greenlet.current === Greenlet.main) throw new Error('a handler was called on main')
      if (waits++ % 3 !== 0) sleep(waits % 4)
    }
    let different = 0
    for (let i = 0; i < APPS; i++) {
      const seed = SEED + i
      const pick = random(seed ^ 0x5bd1e995)
      const paths = Array.from({ length: REQUESTS }, () => PATHS[pick(PATHS.length)]!)
      const plain = await answersOf(makeApp({ make, endings, pause() {} }, seed, false), paths)
      const waiting = await answersOf(makeApp({ make, endings, pause }, seed, true), paths)
      t.deepEqual(waiting, plain, `RANDOM_APPS_SEED=${seed} RANDOM_APPS=1`)
      different += new Set(plain).size
    }
    t.true(waits > APPS * 6 && different > APPS * 3, 'the apps do something')
    await until(() => others().length === 0)
  })
}
