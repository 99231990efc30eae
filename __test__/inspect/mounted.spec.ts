// The page in the servers of the frameworks, mounted as docs/inspecting.md says, with and without their adapters.

import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import test, { type ExecutionContext } from 'ava'
import { getRequestListener } from '@hono/node-server'
import type { ErrorRequestHandler } from 'express'
import { fastify } from 'fastify'
import { H3 } from 'h3'
import { toNodeHandler } from 'h3/node'
import { Hono } from 'hono'
import Koa from 'koa'
import { greenlets as inExpress } from '../../js/adapters/express.ts'
import { greenlets as inFastify } from '../../js/adapters/fastify.ts'
import { greenlets as inH3 } from '../../js/adapters/h3.ts'
import { greenlets as inHono } from '../../js/adapters/hono.ts'
import { greenlets as inHttp } from '../../js/adapters/http.ts'
import { greenlets as inKoa } from '../../js/adapters/koa.ts'
import { Greenlet } from '../../js/index.ts'
import type { Refresh } from '../../js/inspect/feed.ts'
import { inspector, type InspectorPage } from '../../js/inspect/index.ts'
import { listen, type Site, VERSIONS } from '../adapters/server.ts'

const PREFIX = '/debug/greenlets'
const TOKEN = 'a-token-for-the-tests'
const boom = (): never => {
  throw new Error('boom')
}

/** Each serves the page below the prefix, a text at /hello, and an error at /fail that its own error handler answers. */
type Mount = (page: InspectorPage, withGreenlets: boolean) => RequestListener | Promise<RequestListener>

const mounts: Record<string, Mount> = {
  'node:http'(page, withGreenlets) {
    const listener: RequestListener = (req, res) => {
      if (req.url!.startsWith(PREFIX)) page(req, res)
      else if (req.url === '/hello') res.end('hello')
      else boom()
    }
    const answer = (error: unknown, res: Parameters<RequestListener>[1]): void =>
      void res.writeHead(500).end(`own: ${(error as Error).message}`)
    if (withGreenlets) return inHttp(listener, { onError: (error, _, res) => answer(error, res) })
    return (req, res) => {
      try {
        listener(req, res)
      } catch (error) {
        answer(error, res)
      }
    }
  },
  koa(page, withGreenlets) {
    const app = new Koa()
    app.silent = true
    app.use(async (ctx, next) => {
      try {
        await next()
      } catch (error) {
        ctx.status = 500
        ctx.body = `own: ${(error as Error).message}`
      }
    })
    if (withGreenlets) app.use(inKoa())
    app.use(async (ctx, next) => {
      if (!ctx.path.startsWith(PREFIX)) return next()
      ctx.respond = false
      page(ctx.req, ctx.res)
    })
    app.use((ctx) => void (ctx.path === '/hello' ? (ctx.body = 'hello') : boom()))
    // oxlint-disable-next-line no-misused-promises -- the listener of Koa
    return app.callback()
  },
  async fastify(page, withGreenlets) {
    const app = fastify()
    if (withGreenlets) await app.register(inFastify())
    app.setErrorHandler((error: Error, _, reply) => reply.status(500).send(`own: ${error.message}`))
    app.get(`${PREFIX}*`, (request, reply) => {
      reply.hijack()
      page(request.raw, reply.raw)
    })
    app.get('/hello', () => 'hello')
    app.get('/fail', boom)
    await app.ready()
    return (req, res) => app.routing(req, res)
  },
  hono(page, withGreenlets) {
    const app = new Hono()
    app.onError((error, c) => c.text(`own: ${error.message}`, 500))
    if (withGreenlets) app.use(inHono())
    app.all(`${PREFIX}/*`, (c) => page.fetch(c.req.raw))
    app.get('/hello', (c) => c.text('hello'))
    app.get('/fail', boom)
    // oxlint-disable-next-line no-misused-promises -- the listener of Hono
    return getRequestListener(app.fetch)
  },
  h3(page, withGreenlets) {
    const app = new H3({
      silent: true,
      onError: (error) => new Response(`own: ${((error.cause ?? error) as Error).message}`, { status: 500 }),
    })
    if (withGreenlets) app.register(inH3())
    app.all(`${PREFIX}/**`, (event) => page.fetch(event.req))
    app.get('/hello', () => 'hello')
    app.get('/fail', boom)
    return toNodeHandler(app) as RequestListener
  },
}
for (const [name, make] of VERSIONS) {
  mounts[name] = (page, withGreenlets) => {
    const app = make()
    if (withGreenlets) app.use(inExpress())
    app.use(PREFIX, page)
    app.get('/hello', (_, res) => void res.send('hello'))
    app.get('/fail', boom)
    const onError: ErrorRequestHandler = (error: Error, _req, res, _next) =>
      void res.status(500).send(`own: ${error.message}`)
    app.use(onError)
    return app as unknown as RequestListener
  }
}

/** The text of the first event, and then the client disconnects. */
function firstEvent({ visit }: Site, path: string): Promise<{ type: string; text: string }> {
  return new Promise((resolve, reject) => {
    const client = visit(path)
    client.on('response', (res) => {
      let text = ''
      res.setEncoding('utf8').on('data', (part: string) => {
        text += part
        if (!text.includes('\n\n')) return
        resolve({ type: res.headers['content-type'] ?? '', text: text.slice(0, text.indexOf('\n\n')) })
        client.destroy()
      })
      res.on('end', () => reject(new Error(`the events have ended: ${text}`)))
      res.on('error', () => {})
    })
  })
}

async function check(t: ExecutionContext, mount: Mount, withGreenlets: boolean): Promise<void> {
  const page = inspector({ token: TOKEN, refresh: 100 })
  const site = await listen(t, createServer(await mount(page, withGreenlets)))
  t.teardown(() => page.close())
  const { ask } = site
  const at = (path: string): string => `${PREFIX}/${path}${path.includes('?') ? '&' : '?'}token=${TOKEN}`

  const entered = await ask(`${PREFIX}?token=${TOKEN}`)
  t.is(entered.status, 303)
  // Relative to the prefix.
  t.is(entered.headers.location, './greenlets/')
  t.regex(String(entered.headers['set-cookie']), /^greenlets_inspect_\w+=/)
  t.is((await ask(at(''))).headers.location, './')
  for (const path of ['', 'events', 'dump.json', 'source?file=x&line=1']) {
    t.is((await ask(`${PREFIX}/${path}`)).status, 401, path)
    t.is((await ask(`${PREFIX}/${path}${path.includes('?') ? '&' : '?'}token=wrong`)).status, 401, path)
  }
  const [cookie] = String(entered.headers['set-cookie']).split(';')
  const { port } = site.server.address() as { port: number }
  const shown = await fetch(`http://127.0.0.1:${port}${PREFIX}/`, { headers: { cookie: cookie!, connection: 'close' } })
  t.is(shown.status, 200)
  t.regex(await shown.text(), /^<!doctype html>[^]*<title>greenlets<\/title>/)
  t.regex(shown.headers.get('content-security-policy')!, /^default-src 'none'/)

  const parked = new Greenlet(() => Greenlet.main.switch(), { name: 'parked in a test' })
  parked.switch()
  const download = await ask(at('dump.json'))
  t.is(download.headers['content-disposition'], 'attachment; filename="greenlets.json"')
  t.true((JSON.parse(download.text) as { version: number }).version === 1)
  t.true(download.text.includes('parked in a test'))

  const { type, text } = await firstEvent(site, at('events'))
  t.is(type, 'text/event-stream')
  const refresh = JSON.parse(text.slice(text.indexOf('data: ') + 6)) as Refresh
  t.true(refresh.whole && refresh.greenlets.some(({ name }) => name === 'parked in a test'))
  const file = refresh.stacks.flatMap(([, { frames }]) => frames).find((frame) => frame.file?.includes('mounted.spec'))!
  const query = new URLSearchParams({ file: file.file!, line: String(file.line) })
  const source = await ask(at(`source?${query}`))
  t.is(source.status, 200)
  t.true(source.text.includes('parked in a test'))
  parked.kill()

  // A page that is left is forgotten: 16 can be open.
  for (let opened = 0, tries = 0; opened < 17; tries++) {
    t.true(tries < 500)
    try {
      await firstEvent(site, at('events'))
      opened++
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  const open = once(site.visit(at('events')), 'response') as Promise<[IncomingMessage]>
  const [stream] = await open
  page.close()
  const rest = (await stream.toArray()) as Buffer[]
  t.true(Buffer.concat(rest).toString().startsWith('event: refresh'))

  // Everything else is as before.
  t.is((await ask('/hello')).text, 'hello')
  const failed = await ask('/fail')
  t.deepEqual([failed.status, failed.text], [500, 'own: boom'])
  const head = await ask(`HEAD ${at('dump.json')}`)
  t.deepEqual([head.status, head.text], [200, ''])
}

for (const [name, mount] of Object.entries(mounts)) {
  for (const withGreenlets of [false, true]) {
    test.serial(`the page in ${name}${withGreenlets ? ' with greenlets' : ''}`, (t) => check(t, mount, withGreenlets))
  }
}

test.serial('in Koa without `ctx.respond = false`, Koa ends the answers, and a warning says what to do', async (t) => {
  const page = inspector({ token: null })
  const app = new Koa()
  app.use((ctx) => void page(ctx.req, ctx.res))
  // oxlint-disable-next-line no-misused-promises -- the listener of Koa
  const { ask } = await listen(t, createServer(app.callback()))
  t.teardown(() => page.close())
  const parked = new Greenlet(() => Greenlet.main.switch())
  parked.switch()
  const frame = parked.gr_frame!.original ?? parked.gr_frame!
  const source = `/source?${new URLSearchParams({ file: frame.fileName!, line: String(frame.lineNumber) })}`
  for (const [path, status] of [
    [source, 404],
    ['/events', 200],
  ] as const) {
    const warned = once(process, 'warning') as Promise<[Error]>
    t.is((await ask(path)).status, status)
    const [{ name, message }] = await warned
    t.is(name, 'GreenletWarning')
    t.regex(message, /^the page of inspector\(\) could not answer GET \/\w+: .*ctx\.respond = false/)
    t.false(message.includes('?'))
  }
  parked.kill()
})
