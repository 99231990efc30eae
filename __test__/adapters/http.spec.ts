// The adapter for node:http, https and http2.

import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import standard, { bind, greenlets, type HttpOptions, type WithGreenlet } from '../../js/adapters/http.ts'
import { Greenlet, type GreenletError, sleep, wait } from '../../js/index.ts'
import { runProgram } from '../helpers/program.ts'
import { pending, until } from '../helpers/promises.ts'
import { closingFacts } from './closing.ts'
import { listen, others, type Site } from './server.ts'

const warnings: Error[] = []
process.removeAllListeners('warning')
process.on('warning', (warning) => warnings.push(warning))

test.afterEach.always('no greenlet and no warning is left', async (t) => {
  await until(() => others().length === 0)
  t.deepEqual(
    warnings.splice(0).map(({ message }) => message),
    [],
  )
})

type Handler = (req: WithGreenlet<IncomingMessage>, res: ServerResponse) => unknown
const forever = (): void => sleep(1e6)
const serve = (t: ExecutionContext, handler: Handler, options?: HttpOptions): Promise<Site> =>
  listen(t, http.createServer(greenlets(handler, options)))

test('arguments are checked', (t) => {
  const invalid = { instanceOf: TypeError, code: 'ERR_GREENLET_INVALID_ARG' }
  t.throws(() => greenlets(undefined as never), {
    ...invalid,
    message: /takes the listener of a server, not undefined/,
  })
  t.throws(() => greenlets(() => {}, { onerror() {} } as never), {
    ...invalid,
    message: /no option 'onerror'; it has timeout, limit, grace, name, onError$/,
  })
  t.throws(() => greenlets(() => {}, { onError: 3 as never }), { ...invalid, message: /onError must be a function/ })
  t.throws(() => bind(3 as never), { ...invalid, message: /takes a function/ })
  t.is(standard, greenlets)
})

test.serial('200 requests wait at the same time, each with its own answer, greenlet and store', async (t) => {
  const gate = pending<void>()
  const storage = new AsyncLocalStorage<string>()
  let parked = 0
  const listener = greenlets((req, res) =>
    storage.run(`store of ${req.url}`, () => {
      const seen = [1, 2].map((n) => (sleep(n), storage.getStore()))
      parked++
      wait(gate.promise)
      res.end(JSON.stringify([...seen, storage.getStore(), req.greenlet === Greenlet.current, req.greenlet.name]))
    }),
  )
  const site = await listen(t, http.createServer(listener))
  const answers = Array.from({ length: 200 }, (_, id) => site.ask(`/${id}?q`))
  await until(() => parked === 200)
  t.is(listener.living.size, 200)
  gate.resolve()
  for (const [id, { text }] of (await Promise.all(answers)).entries()) {
    const store = `store of /${id}?q`
    t.deepEqual(JSON.parse(text), [store, store, store, true, `GET /${id}`])
  }
})

test.serial('errors go to onError, which may wait', async (t) => {
  const site = await serve(
    t,
    (req) => {
      if (req.url === '/async') return setTimeout(1).then(() => Promise.reject(new Error('of a promise')))
      if (req.url === '/itself') Greenlet.current.kill()
      sleep(1)
      throw new Error('after a wait')
    },
    {
      onError(error, req, res) {
        sleep(1)
        res.writeHead((error as { status?: number }).status ?? 500)
        res.end(`${(error as Error).message} in ${req.greenlet.name}`)
      },
    },
  )
  t.is((await site.ask('/')).text, 'after a wait in GET /')
  t.is((await site.ask('/async')).text, 'of a promise in GET /async')
  t.is((await site.ask('/itself')).status, 503)
})

test.serial(
  'without onError, the answer is the status of the error, or 500, without a text, and a warning',
  async (t) => {
    const site = await serve(t, (req, res) => {
      sleep(1)
      if (req.url === '/teapot') throw Object.assign(new Error('teapot'), { status: 418 })
      if (req.url === '/begun') res.write('begun')
      if (req.url === '/ended') res.end('ended')
      if (req.url === '/string') throw 'a string'
      throw new Error(`plain ${req.url}`)
    })
    t.like(await site.ask('/teapot'), { status: 418, text: '' })
    t.like(await site.ask('/'), { status: 500, text: '' })
    t.like(await site.ask('/string'), { status: 500, text: '' })
    t.like(await site.ask('/ended'), { status: 200, text: 'ended' })
    await t.throwsAsync(site.ask('/begun'), { code: 'ECONNRESET' })
    await until(() => warnings.length === 5)
    t.deepEqual(
      warnings.splice(0).map(({ message }) => message),
      ['teapot', 'plain /', 'a listener of a server threw a string', 'plain /ended', 'plain /begun'],
    )
  },
)

test.serial('an error of onError destroys the response, and other requests go on', async (t) => {
  const site = await serve(
    t,
    (req, res) => {
      sleep(1)
      if (req.url === '/good') res.end('good')
      else throw new Error('first')
    },
    {
      onError() {
        throw new Error('second')
      },
    },
  )
  const good = site.ask('/good')
  await t.throwsAsync(site.ask('/'), { code: 'ECONNRESET' })
  t.is((await good).text, 'good')
  await until(() => warnings.length === 1)
  t.is(warnings.splice(0)[0]!.message, 'second')
})

test.serial(
  'a client that disconnects ends the greenlets: before the answer, in the body, in the answer',
  async (t) => {
    const log: string[] = []
    const ended = (name: string, call: () => void): void => {
      try {
        call()
      } finally {
        log.push(name)
      }
    }
    let response: ServerResponse | undefined
    const site = await serve(t, (req, res) => {
      response = res
      if (req.url === '/before') ended('before', forever)
      else if (req.url === '/answer') {
        res.write('begin')
        ended('in the answer', forever)
      } else if (req.url === '/helper') {
        const helper = async (): Promise<void> => ended('in an async helper', forever)
        void helper().then(() => res.end())
      } else {
        const body = req[Symbol.asyncIterator]()
        ended('in the body', () => {
          while (!wait(body.next()).done);
        })
        res.end()
      }
    })
    for (const path of ['/before', '/answer', '/helper']) {
      const client = site.visit(path)
      await until(() => others().length > 0)
      client.destroy()
      await until(() => others().length === 0 && response!.closed)
    }
    const upload = http.request({ port: (site.server.address() as AddressInfo).port, method: 'POST', path: '/body' })
    upload.on('error', () => {})
    upload.write('a part')
    await until(() => others().length > 0)
    upload.destroy()
    await until(() => others().length === 0)
    t.deepEqual(log, ['before', 'in the answer', 'in an async helper', 'in the body'])
    // The error of the body that was cut off is thrown in the greenlet before that is killed, or the exit is.
    warnings.length = 0
  },
)

test.serial('bodies are read, and events are streamed, with waits between the pieces', async (t) => {
  const site = await serve(t, (req, res) => {
    const body = req[Symbol.asyncIterator]() as AsyncIterator<Buffer>
    let length = 0
    for (let chunk = wait(body.next()); !chunk.done; chunk = wait(body.next())) length += chunk.value.length
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const n of [1, 2, 3]) {
      sleep(1)
      res.write(`data: ${n}\n\n`)
    }
    res.end(`data: ${length}\n\n`)
  })
  const bodies = ['x', 'y'.repeat(300_000)].map((body) => site.ask('POST /', body))
  const [first, second] = await Promise.all(bodies)
  t.is(first!.text, 'data: 1\n\ndata: 2\n\ndata: 3\n\ndata: 1\n\n')
  t.is(second!.text, 'data: 1\n\ndata: 2\n\ndata: 3\n\ndata: 300000\n\n')
})

test.serial('timeout, limit and close() answer 503', async (t) => {
  const log: string[] = []
  const gate = pending<void>()
  const listener = greenlets(
    (req, res) => {
      if (req.url === '/forever') {
        try {
          forever()
        } catch (error) {
          log.push((error as GreenletError).code)
          throw error
        }
      }
      if (req.url === '/never') return
      wait(gate.promise)
      res.end('answered')
    },
    { timeout: 300, limit: 2, name: 'api' },
  )
  const site = await listen(t, http.createServer(listener))
  const late = ['/forever', '/never'].map((path) => site.ask(path))
  await until(() => listener.living.size === 1)
  t.deepEqual(
    [...listener.living].map(({ name }) => name),
    ['api GET /forever'],
  )
  for (const { status } of await Promise.all(late)) t.is(status, 503)
  t.deepEqual(log, ['ERR_GREENLET_TIMEOUT'])
  await until(() => warnings.length === 2)
  for (const { code } of warnings.splice(0) as GreenletError[]) t.is(code, 'ERR_GREENLET_TIMEOUT')

  const parked = ['/1', '/2'].map((path) => site.ask(path))
  await until(() => listener.living.size === 2)
  t.like(await site.ask('/3'), { status: 503, text: '', headers: { 'retry-after': '1' } })
  const closing = listener.close()
  t.like(await site.ask('/4'), { status: 503, headers: { 'retry-after': '1' } })
  gate.resolve()
  for (const { text } of await Promise.all(parked)) t.is(text, 'answered')
  await closing
})

closingFacts('http', async (t, options, handler) => {
  const control = greenlets(handler, options)
  return { ...(await listen(t, http.createServer(control))), control }
})

test.serial('bound callbacks may wait, and their errors go to onError', async (t) => {
  const log: string[] = []
  const site = await serve(
    t,
    (req, res) => {
      res.on(
        'finish',
        bind(() => (sleep(1), log.push('finished'))),
      )
      if (req.url === '/') process.nextTick(bind(() => res.end(wait(setTimeout(1, 'bound')))))
      else {
        void setTimeout(1).then(() =>
          setImmediate(
            bind(req, () => {
              sleep(1)
              throw new Error('of a callback')
            }),
          ),
        )
      }
    },
    { onError: (error, _req, res) => res.end((error as Error).message) },
  )
  t.is((await site.ask('/')).text, 'bound')
  t.is((await site.ask('/throws')).text, 'of a callback')
  await until(() => log.length === 2)
})

test.serial(
  'http2: streams are served at the same time, and a stream that is reset ends only its own greenlet',
  async (t) => {
    const log: string[] = []
    let arrived = 0
    const gate = pending<void>()
    const listener = greenlets<http2.Http2ServerRequest, http2.Http2ServerResponse>((req, res) => {
      arrived++
      try {
        if (req.url === '/forever') forever()
        if (req.url === '/throws') throw new Error('thrown')
        wait(gate.promise)
        res.end(`${req.greenlet.name} ${req.httpVersion}`)
      } finally {
        log.push(req.url)
      }
    })
    const server = http2.createServer(listener).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const client = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    t.teardown(() => {
      client.destroy()
      server.close()
    })
    const ask = async (path: string): Promise<string> => {
      const stream = client.request({ ':path': path })
      const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders & { ':status': number }]
      let text = ''
      for await (const chunk of stream.setEncoding('utf8')) text += chunk
      return `${headers[':status']} ${text}`
    }
    const reset = client.request({ ':path': '/forever' })
    reset.on('error', () => {})
    await until(() => listener.living.size === 1)
    const answers = Promise.all([ask('/a'), ask('/b')])
    await until(() => arrived === 3)
    t.is(listener.living.size, 3)
    reset.close(http2.constants.NGHTTP2_CANCEL)
    await until(() => log.includes('/forever'))
    gate.resolve()
    t.deepEqual(await answers, ['200 GET /a 2.0', '200 GET /b 2.0'])
    t.is(await ask('/throws'), '500 ')
    await until(() => warnings.length === 1)
    t.is(warnings.splice(0)[0]!.message, 'thrown')
    await listener.close()
    t.is(await ask('/refused'), '503 ')
  },
)

test('an unsupported runtime is an error at the start of the server, and not of each request', async (t) => {
  const { code, stdout, stderr } = await runProgram(
    `const adapters = await Promise.all(['express', 'http'].map((name) => import('./js/adapters/' + name + '.ts')))
     for (const { greenlets } of adapters) {
       try {
         adapters[0].greenlets === greenlets ? greenlets() : greenlets(() => {})
       } catch (error) {
         console.log(error.name, error.code)
       }
     }`,
    { before: "process.env.NAPI_RS_NATIVE_LIBRARY_PATH = '/nowhere/greenlets.node'" },
  )
  t.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  t.is(stdout, 'UnsupportedRuntimeError ERR_GREENLET_UNSUPPORTED_RUNTIME\n'.repeat(2))
})
