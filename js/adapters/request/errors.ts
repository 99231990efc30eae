/**
 * The errors of the adapters. Each has a status, by which web frameworks choose the status of their answer.
 */

import { quoted } from '../../common/text.ts'
import { GreenletError, isExit, TimeoutError } from '../../engine.ts'

/** An error that makes web frameworks answer with its status and its headers. */
export interface Unavailable {
  status?: number
  statusCode?: number
  headers?: Readonly<Record<string, string>>
}

export type UnavailableError = GreenletError & Required<Unavailable>

/** What a client is told when it should come back, in seconds. */
const RETRY_AFTER = '1'

/** Sets the properties of an error by which web frameworks choose the status of the answer. */
export function withStatus503<E extends object>(error: E & Unavailable): E {
  error.status ??= 503
  error.statusCode ??= error.status
  return error
}

/** As `withStatus503`, with the header that tells the client when to come back. */
function retryLater(error: GreenletError): UnavailableError {
  return Object.assign(withStatus503(error), {
    headers: { 'Retry-After': RETRY_AFTER },
  }) as GreenletError as UnavailableError
}

/** For a request that comes when `limit` requests are there already. */
export function limitError(limit: number): UnavailableError {
  const message = `${limit} requests are being handled, which is the limit of greenlets({ limit }); raise it, or add servers`
  return retryLater(new GreenletError('ERR_GREENLET_LIMIT', message))
}

/** For a request that comes after `close()`, or that has not ended when the grace of `close()` is over. */
export function closedError(): UnavailableError {
  return retryLater(
    new GreenletError('ERR_GREENLET_CLOSED', 'the server is closing: close() was called; ask another server, or later'),
  )
}

/** For a request that is not answered in time. */
export function requestTimeout(name: string, ms: number): UnavailableError {
  const message =
    `request ${quoted(name)} was not answered within ${ms} ms, the timeout of greenlets({ timeout }); ` +
    'raise it, or look at what the stack of this error waits for'
  return withStatus503(new TimeoutError(message)) as GreenletError as UnavailableError
}

const OUT_OF_RESOURCES: readonly string[] = ['ERR_GREENLET_LIMIT', 'ERR_GREENLET_NO_MEMORY', 'ERR_GREENLET_NO_SLOT']

/** Gives an error about a lack of stacks or memory the status 503. */
export function unavailable(error: unknown): unknown {
  return error instanceof GreenletError && OUT_OF_RESOURCES.includes(error.code) ? withStatus503(error) : error
}

/** What the framework's error handler gets for an error that ended a greenlet while the client waits. */
export function answerable(error: unknown): unknown {
  return isExit(error) ? withStatus503(error) : error
}
