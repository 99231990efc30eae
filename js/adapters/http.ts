/**
 * `greenlets/http`: runs the listener of a server of node:http, node:https or node:http2 in greenlets.
 *
 * ```js
 * import { createServer } from 'node:http'
 * import { wait } from 'greenlets'
 * import { greenlets } from 'greenlets/http'
 *
 * const server = createServer(greenlets((req, res) => res.end(wait(loadPage(req.url)))))
 * ```
 */

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { typeError } from '../common/errors.ts'
import { describe } from '../common/values.ts'
import { isExit } from '../engine.ts'
import type { Greenlet } from '../greenlet/greenlet.ts'
import { type Bind, makeBind } from './request/bind.ts'
import type { Unavailable } from './request/errors.ts'
import type { ServerOptions } from './request/options.ts'
import { RequestGreenlets, type Rules } from './request/request.ts'
import { type ServerControl, ServerGreenlets } from './request/server.ts'

export type { Bind } from './request/bind.ts'
export type { CloseOptions, ServerOptions } from './request/options.ts'
export type { ServerControl } from './request/server.ts'

/**
 * A request with its greenlet.
 *
 * @example
 * ```js
 * const listener = greenlets((req, res) => res.end(req.greenlet.name))
 * ```
 */
export type WithGreenlet<Request> = Request & {
  /** The greenlet that runs for the request, or that ran last. */
  readonly greenlet: Greenlet
}

/**
 * The options of `greenlets()` for node:http: those of all adapters, and `onError`.
 *
 * @example
 * ```js
 * const options = {
 *   timeout: 10_000,
 *   onError(error, req, res) {
 *     res.writeHead(error.status ?? 500).end(error.message)
 *   },
 * }
 * const listener = greenlets((req, res) => res.end('hello'), options)
 * ```
 */
export interface HttpOptions<Request = IncomingMessage, Response = ServerResponse> extends ServerOptions {
  /**
   * Answers a request of which the listener threw, or which was refused or took too long. It runs in a greenlet of the
   * request. Errors that it throws are reported as warnings. Default: answers with the `status` (400 to 599) and the
   * `headers` of the error, or with the status 500, without a text; if the answer has begun, it destroys the response. Then
   * the error is reported as a warning, unless the request was refused.
   */
  readonly onError?: ((error: unknown, req: WithGreenlet<Request>, res: Response) => void) | undefined
}

/**
 * What `greenlets()` gives: a listener for `createServer()`, which also has `living` and `close()`.
 *
 * @example
 * ```js
 * const listener = greenlets((req, res) => res.end('hello'))
 * listener.length // 2
 * listener.living.size // 0
 * ```
 */
export interface Listener<Request = IncomingMessage, Response = ServerResponse> extends ServerControl {
  (req: Request, res: Response): void
}

/** What is used of both kinds of requests and responses. */
interface AnyRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
  [REQUEST]?: HttpRequest
}
type AnyResponse = ServerResponse | Http2ServerResponse
type AnyListener = (this: unknown, req: AnyRequest, res: AnyResponse) => unknown
type OnError = (error: unknown, req: AnyRequest, res: AnyResponse) => unknown

const REQUEST = Symbol('greenlets')

/** One for all requests: V8 would keep a getter for each request, and with it the request, until a full collection. */
const greenletProperty: PropertyDescriptor & ThisType<AnyRequest> = {
  configurable: true,
  get() {
    return this[REQUEST]!.greenlets.current
  },
}

/**
 * Makes a listener for `createServer()` of node:http, node:https and node:http2. It calls `listener` in a greenlet of the
 * request, `req.greenlet`, and so that may `wait()`, at any depth.
 *
 * - An error that `listener` throws, or with which its promise is rejected, goes to `onError`. It never ends the process.
 * - When the client disconnects before it has its answer, or resets its stream of HTTP/2, the greenlets of the request are
 *   killed where they wait, and their `finally` blocks run.
 * - `async` listeners may `wait()` until their first `await`, and callbacks may where `bind()` made them.
 *
 * @example
 * ```js
 * import { createServer } from 'node:http'
 * const listener = greenlets((req, res) => {
 *   sleep(10) // blocks this request, and no other
 *   res.end(`served by ${req.greenlet.name}`)
 * })
 * const server = createServer(listener)
 * // At the end:
 * await listener.close()
 * server.close()
 * ```
 *
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`, for example for an unknown option
 * @throws UnsupportedRuntimeError where greenlets do not work
 */
export function greenlets<
  Request extends IncomingMessage | Http2ServerRequest = IncomingMessage,
  Response extends ServerResponse | Http2ServerResponse = ServerResponse,
>(
  listener: (req: WithGreenlet<Request>, res: Response) => unknown,
  options?: HttpOptions<Request, Response>,
): Listener<Request, Response>
export function greenlets(listener: unknown, options?: unknown): ServerControl {
  if (typeof listener !== 'function') {
    throw typeError(`greenlets() takes the listener of a server, not ${describe(listener)}`)
  }
  const server = new ServerGreenlets(options, ['onError'])
  const onError: unknown = (options as HttpOptions | undefined)?.onError ?? answerError
  if (typeof onError !== 'function') throw typeError(`onError must be a function, not ${describe(onError)}`)
  return server.control(function greenlets(this: unknown, req: AnyRequest, res: AnyResponse): void {
    new HttpRequest(server, req, res, onError as OnError).handle(() => (listener as AnyListener).call(this, req, res))
  })
}

export { blocking } from '../engine.ts'
export { greenlets as default }

/**
 * Makes a callback or listener of a request that may `wait()`: it calls `fn` in a greenlet of the request that runs now, or
 * of `req`. Where no greenlet of a request runs, it is the `bind()` of `greenlets`. That greenlet is killed with the others of the request. The callback returns what `fn` returns, or undefined if
 * `fn` has to wait. An error goes to `onError`, or becomes a warning where the answer has begun.
 *
 * @example
 * ```js
 * const listener = greenlets((req, res) => {
 *   res.on('finish', bind(() => sleep(10))) // without bind(), sleep() would throw: the event loop calls this
 *   res.end('hello')
 * })
 * ```
 *
 * @throws TypeError `ERR_GREENLET_INVALID_ARG` if `fn` is not a function, or `req` is not a request of this server
 */
export const bind: Bind<IncomingMessage | Http2ServerRequest> = makeBind(
  (req) => (req as AnyRequest | undefined)?.[REQUEST]?.greenlets,
)

class HttpRequest implements Rules {
  readonly greenlets: RequestGreenlets
  readonly #req: AnyRequest
  readonly #res: AnyResponse
  readonly #onError: OnError

  constructor(server: ServerGreenlets, req: AnyRequest, res: AnyResponse, onError: OnError) {
    this.#req = req
    this.#res = res
    this.#onError = onError
    // Without the query: names are printed and logged.
    const path = (req.url ?? '').split('?', 1)[0]
    this.greenlets = new RequestGreenlets(server, `${req.method} ${path}`, this, { response: res })
    req[REQUEST] = this
    Object.defineProperty(req, 'greenlet', greenletProperty)
  }

  handle(listener: () => unknown): void {
    const { refusal, abandoned } = this.greenlets
    if (refusal !== undefined) this.fail(refusal)
    else if (!abandoned) this.#run(listener, this.fail)
  }

  /** One of the rules of RequestGreenlets: nothing is to be done for a client that has left. */
  exit(exit: unknown): void {
    if (!this.greenlets.abandoned) throw this.greenlets.errorFor(exit)
  }

  /** One of the rules of RequestGreenlets. */
  readonly fail = (error: unknown): void => {
    this.#run(() => this.#onError(error, this.#req, this.#res), this.#failAgain)
  }

  /** `onError` itself has failed. */
  readonly #failAgain = (error: unknown): void => {
    this.#res.destroy()
    warn(error)
  }

  #run(call: () => unknown, fail: (error: unknown) => void): void {
    try {
      const result = this.greenlets.run(call)
      if (result instanceof Promise) result.then(undefined, fail)
    } catch (error) {
      fail(error)
    }
  }
}

/** The default of `onError`. */
function answerError(error: unknown, _req: AnyRequest, res: AnyResponse): void {
  const { status, headers, refused } = detailsOf(error)
  if (res.writableEnded) {
    // The client has its answer.
  } else if (res.headersSent) res.destroy()
  else res.writeHead(status, headers).end()
  if (!refused) warn(error)
}

function detailsOf(error: unknown): { status: number; headers: Record<string, string>; refused: boolean } {
  const { status, headers = {} } = (error ?? {}) as Unavailable
  const isStatus = typeof status === 'number' && Number.isInteger(status) && status >= 400 && status <= 599
  return {
    status: isStatus ? status : 500,
    headers: { ...headers },
    refused: 'Retry-After' in headers || isExit(error),
  }
}

function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : `a listener of a server threw ${String(error)}`)
}
