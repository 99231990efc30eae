/** `serve()` and `inspector()`: the page in a server of its own, and in a server of the program. */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { typeError } from '../common/errors.ts'
import { checkOptions } from '../common/options.ts'
import { describe } from '../common/values.ts'
import { type Answer, Inspector, type InspectorOptions, OPTIONS } from './inspector.ts'
import type { Watching } from './watching.ts'

export type { InspectorOptions } from './inspector.ts'

/**
 * What {@link inspector} gives: a listener for the requests of the page, in a server of the program.
 *
 * @example
 * ```js
 * import { createServer } from 'node:http'
 * import { inspector } from 'greenlets/inspect'
 * const page = inspector({ token: null })
 * const server = createServer((req, res) => (req.url.startsWith('/greenlets/') ? page(req, res) : res.end('hello')))
 * page.close()
 * ```
 */
export interface InspectorPage {
  (req: IncomingMessage, res: ServerResponse): void
  /** The same for a server that takes a web standard `Request`, such as Hono or h3. */
  fetch(request: Request): Promise<Response>
  /** The token, or null. */
  readonly token: string | null
  /** Ends the connections of all open pages. */
  close(): void
}

/**
 * Makes the page of `greenlets/inspect` for a server of the program: all greenlets of this thread, what they wait for, and their stacks,
 * refreshed while it is open. It is mounted at a path of its own; what it needs is below that path. It takes `req` and `res` of node:http,
 * Express, Koa (`ctx.req`, `ctx.res`, with `ctx.respond = false`) and Fastify (`request.raw`, `reply.raw`, after `reply.hijack()`); `fetch` takes
 * a `Request`, for Hono and h3.
 *
 * The page shows names, stacks and source lines of the program. So it needs the token, once, as `?token=…`; or, with `token: null`, a
 * program that decides by itself which requests arrive here.
 *
 * @example
 * ```js
 * import { createServer } from 'node:http'
 * import { inspector } from 'greenlets/inspect'
 * const page = inspector()
 * const server = createServer(page).listen(0, '127.0.0.1')
 * page.token.length // 32
 * page.close()
 * server.close()
 * ```
 *
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
 * @throws GreenletError `ERR_GREENLET_SECOND_COPY`
 */
export function inspector(options: InspectorOptions = {}): InspectorPage {
  return pageOf(new Inspector('inspector()', options, false))
}

/**
 * The options of {@link serve}. Each may be left out, or undefined.
 *
 * @example
 * ```js
 * import { serve } from 'greenlets/inspect'
 * const page = await serve({ port: 0, refresh: 500 })
 * await page.close()
 * ```
 */
export interface ServeOptions extends InspectorOptions {
  /** Default: 0, a free one. */
  readonly port?: number | undefined
}

/**
 * A page that is served.
 *
 * @example
 * ```js
 * import { serve } from 'greenlets/inspect'
 * const { url, close } = await serve()
 * url.startsWith('http://127.0.0.1:') // true
 * await close()
 * ```
 */
export interface Served {
  /** With the token. */
  readonly url: string
  readonly port: number
  /** Ends the server and all open pages. */
  close(): Promise<void>
}

/**
 * Serves the page on 127.0.0.1, for programs without a server. Only this machine can reach it, and only with the token of the URL. The
 * server does not keep the process alive.
 *
 * @example
 * ```js
 * import { serve } from 'greenlets/inspect'
 * const page = await serve({ port: 0 })
 * const address = page.url // to open in a browser: http://127.0.0.1:40123/?token=…
 * await page.close()
 * ```
 *
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
 * @throws GreenletError `ERR_GREENLET_SECOND_COPY`
 * @throws Error of Node.js, where the port cannot be had
 */
export async function serve(options: ServeOptions = {}): Promise<Served> {
  const { port = 0, ...rest } = checkOptions<ServeOptions>('serve()', options, ['port', ...OPTIONS])
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw typeError(`the option port of serve() is a number from 0 to 65535, not ${describe(port)}`)
  }
  const own = new Inspector('serve()', rest, true)
  const server = createServer(pageOf(own))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  server.unref()
  const { port: taken } = server.address() as AddressInfo
  return {
    port: taken,
    url: `http://127.0.0.1:${taken}/${own.token === null ? '' : `?token=${own.token}`}`,
    close: () => {
      own.close()
      return new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
    },
  }
}

function pageOf(own: Inspector): InspectorPage {
  const listener = (req: IncomingMessage, res: ServerResponse): void => {
    // Express takes the path at which it is mounted off `url`.
    const { originalUrl = req.url ?? '/' } = req as { originalUrl?: string }
    const asked = {
      method: req.method ?? 'GET',
      url: originalUrl,
      header: (name: string): string | undefined => req.headers[name] as string | undefined,
    }
    const answeredByOthers = (): void => {
      // Without the query, which may have the token.
      const what = `${asked.method} ${asked.url.replace(/\?[^]*/, '').slice(0, 100)}`
      process.emitWarning(
        `the page of inspector() could not answer ${what}: other code has ended the answer; in Koa, set ` +
          'ctx.respond = false, and elsewhere let only the page answer',
        'GreenletWarning',
      )
    }
    own.answer(asked).then(
      (answer) => {
        // Koa has answered already, with 404, where it was not told to leave the answer to others.
        if (res.headersSent) answeredByOthers()
        else sendTo(res, own, answer, req.method === 'HEAD', answeredByOthers)
      },
      (error: unknown) => res.destroy(error as Error),
    )
  }
  const fetchPage = async (request: Request): Promise<Response> => {
    const { pathname, search } = new URL(request.url)
    const { method, headers } = request
    const answer = await own.answer({
      method,
      url: pathname + search,
      header: (name) => headers.get(name) ?? undefined,
    })
    const { status, headers: sent, body } = answer
    const text = method === 'HEAD' ? null : typeof body === 'string' ? body : streamOf(own, body)
    return new Response(text, { status, headers: sent })
  }
  return Object.assign(listener, { fetch: fetchPage, token: own.token, close: () => own.close() })
}

/** @param endedByOthers is called where the events end, and not because the page or its client has ended them */
function sendTo(
  res: ServerResponse,
  own: Inspector,
  { status, headers, body }: Answer,
  isHead: boolean,
  endedByOthers: () => void,
): void {
  res.writeHead(status, headers)
  if (typeof body === 'string' || isHead) {
    res.end(isHead ? undefined : body)
    return
  }
  res.flushHeaders()
  let isEnded = false
  const page = body(
    (text) => res.write(text),
    () => {
      isEnded = true
      res.end()
    },
  )
  res.on('drain', () => page.drained())
  res.on('finish', () => {
    if (!isEnded) endedByOthers()
  })
  res.on('close', () => own.left(page))
  res.on('error', () => own.left(page))
  page.start()
}

function streamOf(own: Inspector, body: Exclude<Answer['body'], string>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  let page: Watching | undefined
  let cancelled = (): void => {}
  return new ReadableStream<Uint8Array>({
    start(controller) {
      let isCancelled = false
      const write = (text: string): boolean => {
        controller.enqueue(encoder.encode(text))
        return (controller.desiredSize ?? 0) > 0
      }
      page = body(write, () => {
        if (!isCancelled) controller.close()
      })
      cancelled = () => void (isCancelled = true)
      page.start()
    },
    pull() {
      page?.drained()
    },
    cancel() {
      cancelled()
      if (page !== undefined) own.left(page)
    },
  })
}
