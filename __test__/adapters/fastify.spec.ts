// The adapter of Fastify: what facts.ts says of all adapters, and what only Fastify has.

import { setTimeout } from 'node:timers/promises'
import multipart from '@fastify/multipart'
import { fastifyRequestContext, requestContext } from '@fastify/request-context'
import test, { type ExecutionContext } from 'ava'
import { fastify as makeFastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import door, { greenlets } from '../../js/adapters/fastify.ts'
import type { ServerOptions } from '../../js/adapters/request/options.ts'
import { Greenlet, sleep, wait } from '../../js/index.ts'
import { until } from '../helpers/promises.ts'
import { facts } from './facts.ts'
import { fastify } from './kits.ts'
import { listen, others, type Site } from './server.ts'

facts(fastify)

/** An app with greenlets. */
async function make(t: ExecutionContext, options: ServerOptions = {}, more = {}): Promise<FastifyInstance> {
  const app = makeFastify(more)
  await app.register(greenlets(options))
  t.teardown(() => app.close())
  return app
}

async function serve(t: ExecutionContext, app: FastifyInstance): Promise<Site> {
  await app.ready()
  return listen(t, app.server)
}

const here = (request: FastifyRequest): boolean =>
  request.greenlet === Greenlet.current && Greenlet.current !== Greenlet.main

test('fastify: the default export is greenlets()', (t) => t.is(door, greenlets))

test('fastify: it takes the whole app, has a name, and tells that it is for Fastify 5', async (t) => {
  const app = await make(t)
  t.true(app.hasPlugin('greenlets'))
  t.true(app.hasRequestDecorator('greenlet'))
})

const HOOKS = [
  'onRequest',
  'preParsing',
  'preValidation',
  'preHandler',
  'preSerialization',
  'onSend',
  'onResponse',
] as const

for (const form of ['calls back', 'returns', 'is async'] as const) {
  test.serial(`fastify: hooks of each kind may wait, of the app and of a route: one that ${form}`, async (t) => {
    const app = await make(t)
    const log: string[] = []
    const note = (kind: string, request: FastifyRequest): void => {
      sleep(1)
      log.push(here(request) ? kind : `${kind} on main`)
    }
    const hookOf = (kind: string, label = kind): ((...args: never[]) => unknown) => {
      const withPayload = ['preParsing', 'preSerialization', 'onSend'].includes(kind)
      if (form === 'is async') {
        return async (request: FastifyRequest) => {
          note(label, request)
          await Promise.resolve()
        }
      }
      if (form === 'returns') return (request: FastifyRequest) => note(label, request)
      return withPayload
        ? (request: FastifyRequest, _reply: unknown, _payload: unknown, done: () => void) => (
            note(label, request),
            done()
          )
        : (request: FastifyRequest, _reply: unknown, done: () => void) => (note(label, request), done())
    }
    for (const kind of HOOKS) app.addHook(kind as 'onRequest', hookOf(kind) as never)
    const own = Object.fromEntries(
      HOOKS.map((kind) => [kind, [hookOf(kind, `${kind} of the route`), hookOf(kind, 'another')]]),
    )
    app.get('/', own, (request) => ({ here: here(request), waited: wait(setTimeout(1, true)) }))
    const site = await serve(t, app)
    t.is((await site.ask('/')).text, '{"here":true,"waited":true}')
    await until(() => log.length === HOOKS.length * 3)
    t.deepEqual(
      log,
      HOOKS.flatMap((kind) => [kind, `${kind} of the route`, 'another']),
    )
  })
}

test.serial('fastify: an error of a hook goes to the error handler once, and the hooks onError run', async (t) => {
  const app = await make(t)
  const log: string[] = []
  app.addHook('onError', (request, _reply, error, done) => {
    sleep(1)
    log.push(`onError ${error.message} ${here(request)}`)
    done()
  })
  app.setErrorHandler((error: Error, request, reply) => {
    sleep(1)
    log.push(`handler ${here(request)}`)
    reply.status(418).send(`failed: ${error.message}`)
  })
  for (const kind of HOOKS.slice(0, -1)) {
    const fail = (): never => {
      sleep(1)
      throw new Error(kind)
    }
    const withPayload = ['preParsing', 'preSerialization', 'onSend'].includes(kind)
    const callsBack = withPayload
      ? (_request: unknown, _reply: unknown, _payload: unknown, _done: () => void) => fail()
      : (_request: unknown, _reply: unknown, _done: () => void) => fail()
    app.get(`/${kind}/calls-back`, { [kind]: callsBack }, () => ({}))
    app.get(`/${kind}/returns`, { [kind]: fail }, () => ({}))
  }
  const site = await serve(t, app)
  for (const kind of HOOKS.slice(0, -1)) {
    for (const form of ['calls-back', 'returns']) {
      const { status, text } = await site.ask(`/${kind}/${form}`)
      // Fastify calls the hooks onSend again for the answer of an error handler, and answers by itself if they fail.
      const expected = kind === 'onSend' ? 418 : `418 failed: ${kind}`
      t.is(kind === 'onSend' ? status : `${status} ${text}`, expected as never, `${kind} ${form}`)
      t.deepEqual(log.splice(0).slice(0, 2), [`onError ${kind} true`, 'handler true'], `${kind} ${form}`)
    }
  }
})

test.serial('fastify: handlers answer by a value, by a promise, by reply.send(), now or later', async (t) => {
  const app = await make(t)
  const handlers: Record<string, (request: FastifyRequest, reply: FastifyReply) => unknown> = {
    value: () => (sleep(1), 'answer'),
    promise: async () => (sleep(1), await Promise.resolve(), 'answer'),
    send: (_request, reply) => (sleep(1), void reply.send('answer')),
    'return-send': (_request, reply) => (sleep(1), reply.send('answer')),
    later: (_request, reply) => (sleep(1), void setImmediate(() => reply.send('answer'))),
    'later-without-a-wait': (_request, reply) => void setImmediate(() => reply.send('answer')),
    'return-reply': (_request, reply) => {
      sleep(1)
      setImmediate(() => reply.send('answer'))
      return reply
    },
    'async-send': async (_request, reply) => {
      sleep(1)
      await Promise.resolve()
      reply.send('answer')
    },
  }
  for (const [name, handler] of Object.entries(handlers)) app.get(`/${name}`, handler)
  app.get('/nothing', async () => sleep(1))
  const site = await serve(t, app)
  for (const name in handlers) t.is((await site.ask(`/${name}`)).text, 'answer', name)
  t.is((await site.ask('/nothing')).text, '')
  const head = await site.ask('HEAD /value')
  t.deepEqual([head.status, head.headers['content-length'], head.text], [200, '6', ''])
})

test.serial('fastify: a hook that answers ends the request, and functions keep `this`, name and length', async (t) => {
  const app = await make(t)
  const log: unknown[] = []
  app.decorate('mark', 'app')
  app.addHook('onRoute', ({ handler }) => void log.push([handler.name, handler.length]))
  app.addHook('preHandler', function (request, reply, done) {
    sleep(1)
    log.push((this as unknown as { mark: string }).mark)
    if (request.url === '/early') reply.send('early')
    else done()
  })
  app.get('/', function named(this: FastifyInstance, _request, _reply) {
    return (sleep(1), (this as unknown as { mark: string }).mark)
  })
  app.get('/early', () => void log.push('not here'))
  app.get(
    '/returns',
    { preHandler: (_request, reply) => (sleep(1), void reply.send('from a hook')) },
    () => void log.push('not here'),
  )
  const site = await serve(t, app)
  t.deepEqual(log.splice(0, 2), [
    ['named', 2],
    ['named', 2],
  ])
  log.length = 0
  t.is((await site.ask('/')).text, 'app')
  t.is((await site.ask('/early')).text, 'early')
  t.is((await site.ask('/returns')).text, 'from a hook')
  t.deepEqual(log, ['app', 'app', 'app'])
})

test('fastify: an async hook that takes a callback is refused, as without greenlets', async (t) => {
  const app = await make(t)
  const wrong = async (_request: unknown, _reply: unknown, _done: unknown): Promise<void> => {}
  // Its errors are no errors of JavaScript.
  const codeOf = (call: () => unknown): unknown => {
    try {
      return call()
    } catch (error) {
      return (error as { code: string }).code
    }
  }
  t.is(
    codeOf(() => app.addHook('onRequest', wrong as never)),
    'FST_ERR_HOOK_INVALID_ASYNC_HANDLER',
  )
  t.is(
    codeOf(() => app.get('/', { onRequest: [wrong as never] }, () => 1)),
    'FST_ERR_HOOK_INVALID_ASYNC_HANDLER',
  )
})

test.serial('fastify: plugins have hooks, error and not-found handlers of their own, which may wait', async (t) => {
  const app = await make(t)
  await app.register(
    async (inner) => {
      inner.addHook('preHandler', (request) => {
        sleep(1)
        request.headers['x-inner'] = 'inner'
      })
      inner.setErrorHandler((error: Error, _request, reply) => (sleep(1), void reply.send(`inner: ${error.message}`)))
      inner.setNotFoundHandler({ preHandler: (_request, _reply, done) => (sleep(1), done()) }, (request, reply) => {
        sleep(1)
        reply.status(404).send(`inner: no ${request.url} ${here(request)}`)
      })
      inner.get('/fails', () => (sleep(1), wait(Promise.reject(new Error('of inner')))))
      inner.get('/', (request) => (sleep(1), [request.headers['x-inner'], here(request)]))
    },
    { prefix: '/inner' },
  )
  app.setNotFoundHandler((request) => (sleep(1), `no ${request.url}`))
  app.get('/', (request) => (sleep(1), [request.headers['x-inner'] ?? 'none', here(request)]))
  app.get(
    '/route',
    { errorHandler: (error, _request, reply) => (sleep(1), void reply.send(`route: ${error.message}`)) },
    () => (sleep(1), wait(Promise.reject(new Error('of route')))),
  )
  const site = await serve(t, app)
  const texts = ['/inner', '/inner/fails', '/inner/nothing', '/', '/nothing', '/route']
  t.deepEqual(await Promise.all(texts.map(async (path) => (await site.ask(path)).text)), [
    '["inner",true]',
    'inner: of inner',
    'inner: no /inner/nothing true',
    '["none",true]',
    'no /nothing',
    'route: of route',
  ])
})

test.serial('fastify: the request context of a plugin is that of the request', async (t) => {
  const app = await make(t)
  await app.register(fastifyRequestContext)
  app.addHook('preHandler', (request, _reply, done) => {
    sleep(1)
    requestContext.set('user' as never, request.url as never)
    done()
  })
  app.post('/*', (request) => {
    sleep(1)
    return { user: requestContext.get('user' as never), body: request.body }
  })
  const site = await serve(t, app)
  const paths = Array.from({ length: 30 }, (_, i) => `/${i}`)
  const answers = await Promise.all(paths.map((path) => site.ask(`POST ${path}`, JSON.stringify(path))))
  t.deepEqual(
    answers.map(({ text }) => text),
    paths.map((path) => JSON.stringify({ user: path, body: path })),
  )
})

test.serial('fastify: parsers of bodies may wait, and uploads are read by waits', async (t) => {
  const app = await make(t)
  app.addContentTypeParser('text/upper', { parseAs: 'string' }, (_request, body, done) => {
    sleep(1)
    done(null, String(body).toUpperCase())
  })
  app.addContentTypeParser('text/late', { parseAs: 'string' }, async (_request: FastifyRequest, body: string) => {
    sleep(1)
    await Promise.resolve()
    return body.length
  })
  app.addContentTypeParser('text/bad', { parseAs: 'string' }, (_request, _body, _done) => {
    sleep(1)
    throw new Error('of the parser')
  })
  await app.register(multipart)
  app.post('/', (request) => [request.body, wait(setTimeout(1, here(request)))])
  app.post('/upload', (request) => {
    const file = wait(request.file())!
    return `${file.filename} ${wait(file.toBuffer()).length}`
  })
  const site = await serve(t, app)
  const { port } = site.server.address() as { port: number }
  const post = async (type: string, body: string): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${port}/`, {
      method: 'POST',
      headers: { 'content-type': type },
      body,
    })
    return response.text()
  }
  t.is(await post('text/upper', 'body'), '["BODY",true]')
  t.is(await post('text/late', 'body'), '[4,true]')
  t.regex(await post('text/bad', 'body'), /of the parser/)
  t.is(await post('application/json', '{"a":1}'), '[{"a":1},true]')
  const form = new FormData()
  form.set('file', new Blob(['x'.repeat(100_000)]), 'x.txt')
  const uploaded = await fetch(`http://127.0.0.1:${port}/upload`, { method: 'POST', body: form })
  t.is(await uploaded.text(), 'x.txt 100000')
})

test.serial('fastify: inject() works, and leaves no request behind', async (t) => {
  const requests = greenlets({ limit: 1 })
  const app = makeFastify()
  await app.register(requests)
  app.get('/', (request) => (sleep(1), request.greenlet.name))
  for (let i = 0; i < 5; i++) t.is((await app.inject('/')).body, 'GET /')
  t.is(requests.living.size, 0)
  await app.close()
  await requests.close()
})

test.serial('fastify: at the handlerTimeout of a route its greenlets end', async (t) => {
  const app = await make(t)
  const log: string[] = []
  app.get('/', { handlerTimeout: 30 }, () => {
    try {
      sleep(1e6)
    } finally {
      log.push('finally')
    }
  })
  app.post('/', { handlerTimeout: 10_000 }, (request) => [request.body, wait(setTimeout(1, 'in time'))])
  const site = await serve(t, app)
  const { status, text } = await site.ask('/')
  t.is(status, 503)
  t.regex(text, /FST_ERR_HANDLER_TIMEOUT/)
  await until(() => others().length === 0)
  t.deepEqual(log, ['finally'])
  t.is((await site.ask('POST /', '1')).text, '[1,"in time"]')
})

test.serial('fastify: close() of the app waits for requests, and kills those that take too long', async (t) => {
  const app = makeFastify({ return503OnClosing: false })
  await app.register(greenlets({ grace: 100 }))
  const log: string[] = []
  app.get('/short', () => (sleep(20), 'short'))
  app.get('/long', () => {
    try {
      sleep(1e6)
    } finally {
      log.push('finally')
    }
  })
  const site = await serve(t, app)
  const [short, long] = [site.ask('/short'), site.ask('/long')]
  await until(() => others().length === 2)
  const closed = app.close()
  t.is((await short).text, 'short')
  t.is((await long).status, 503)
  await closed
  t.deepEqual(log, ['finally'])
})

test.serial('fastify: events that are written one by one, until the client leaves', async (t) => {
  const app = await make(t)
  const log: string[] = []
  app.addHook('onRequestAbort', (_request, done) => {
    sleep(1)
    log.push('aborted')
    done()
  })
  app.get('/', (_request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
    try {
      for (let i = 0; ; i++) {
        reply.raw.write(`data: ${i}\n\n`)
        sleep(1)
      }
    } finally {
      log.push('finally')
    }
  })
  const site = await serve(t, app)
  let text = ''
  const client = site.visit('/')
  client.on('response', (response) =>
    response
      .setEncoding('utf8')
      .on('data', (chunk: string) => (text += chunk))
      .on('error', () => {}),
  )
  await until(() => text.includes('data: 3\n\n'))
  client.destroy()
  await until(() => log.length === 2)
  t.deepEqual(log.toSorted(), ['aborted', 'finally'])
})

test.serial('fastify: handlers that answer twice or fail after the answer do not end the server', async (t) => {
  const app = await make(t)
  app.get('/twice', (_request, reply) => (reply.send('first'), sleep(1), void reply.send('second')))
  app.get('/throws', (_request, reply) => {
    reply.send('first')
    sleep(1)
    throw new Error('after the answer')
  })
  app.get(
    '/hook',
    { onResponse: () => (sleep(1), wait(Promise.reject<void>(new Error('of onResponse')))) },
    () => 'first',
  )
  app.get(
    '/done',
    {
      preHandler: (_request, _reply, done) => {
        done()
        sleep(1)
        throw new Error('after done()')
      },
    },
    () => 'first',
  )
  const site = await serve(t, app)
  for (const path of ['/twice', '/throws', '/hook', '/done']) t.is((await site.ask(path)).text, 'first', path)
  await until(() => others().length === 0)
})

test.serial('fastify: a client that leaves while a hook has called done() ends that hook too', async (t) => {
  const app = await make(t)
  const log: string[] = []
  app.setErrorHandler((error: Error) => void log.push(`the error handler got ${error.name}`))
  app.addHook('preHandler', (_request, _reply, done) => {
    try {
      done()
      log.push('not here')
    } finally {
      log.push('finally of the hook')
    }
  })
  app.get('/', () => {
    try {
      sleep(1e6)
    } finally {
      log.push('finally of the handler')
    }
  })
  const site = await serve(t, app)
  const client = site.visit('/')
  await until(() => others().length === 1)
  client.destroy()
  await until(() => others().length === 0)
  await setTimeout(10)
  t.deepEqual(log, ['finally of the handler', 'finally of the hook'])
})
