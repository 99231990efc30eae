/**
 * `wait()`: blocks a greenlet until a promise is settled.
 */

import { addOwnCode } from '../common/own-code.ts'
import { isPromise } from 'node:util/types'
import { GreenletError } from '../common/errors.ts'
import { Same } from '../common/same.ts'
import { withoutStores } from '../core/context.ts'
import type { BlockingCall, GreenletRecord } from '../core/record.ts'
import { thread } from '../core/thread.ts'
import type { Greenlet } from '../greenlet/greenlet.ts'
import { block, currentWaiter, objectOf, resume } from './block.ts'

/** Where this file's own code begins; see common/own-code.ts. */
function first<T>(probe: () => T): T {
  return probe()
}

/**
 * Blocks this greenlet, and nothing else, until `promise` is settled. Returns its value or throws its reason. A value
 * that is not a promise or thenable is returned at once.
 *
 * Meanwhile main goes on: in the event loop if that had resumed this greenlet, else from its own `switch()`, which
 * returns undefined. Other greenlets cannot `switch()` to a greenlet that waits. `throw()` and `kill()` interrupt the
 * wait; the outcome of the promise is ignored then. If a child ends meanwhile, its result is dropped, and its error is
 * thrown here.
 *
 * @throws GreenletError `ERR_GREENLET_WAIT_ON_MAIN`, `ERR_GREENLET_WAIT_ON_SELF`
 */
export function wait<T>(promise: T): Awaited<T> {
  const waiter = currentWaiter('wait()')
  if (!isThenable(promise)) return promise as Awaited<T>
  const call = follow(promise, waiter)
  try {
    return block(call, wait, promise) as Awaited<T>
  } finally {
    call.value = undefined
    // The promise is settled, so it has no callbacks any more.
    if (call.outcome !== undefined) waiter.spareCall = call
    else if (isPlain(promise)) Interrupted.keep(promise, call)
  }
}

thread.wait = wait

/**
 * A call of `wait()`, and its callbacks on the promise. A greenlet uses one for all its waits, as long as each of them
 * ends because its promise is settled.
 */
class PromiseCall implements BlockingCall {
  outcome: 'value' | 'error' | undefined = undefined
  value: unknown = undefined
  greenlet: Greenlet | undefined = undefined
  // A pending promise keeps them when the greenlet was killed. Bound functions are smaller than closures.
  readonly onValue: (value: unknown) => void = settleWithValue.bind(this)
  readonly onError: (error: unknown) => void = settleWithError.bind(this)
}

function settleWithValue(this: PromiseCall, value: unknown): void {
  settle(this, 'value', value)
}

function settleWithError(this: PromiseCall, error: unknown): void {
  settle(this, 'error', error)
}

/** In a callback of a promise: the call is over. Resumes the greenlet, unless that was interrupted. */
function settle(call: PromiseCall, outcome: 'value' | 'error', value: unknown): void {
  const { greenlet } = call
  call.outcome = outcome
  if (greenlet === undefined) return
  call.greenlet = undefined
  call.value = value
  resume(call, greenlet)
}

/** Returns the call that is over when `promise` is settled. The call holds the waiting greenlet until then. */
function follow(promise: PromiseLike<unknown>, waiter: GreenletRecord): PromiseCall {
  const greenlet = objectOf(waiter)
  if ((promise as unknown) === greenlet) {
    throw new GreenletError('ERR_GREENLET_WAIT_ON_SELF', `greenlet '${waiter.name}' cannot wait for its own end`)
  }
  const plain = isPlain(promise)
  const interrupted = plain ? Interrupted.take(promise) : undefined
  if (interrupted !== undefined) {
    interrupted.greenlet = greenlet
    return interrupted
  }
  const followed = plain ? promise : new Promise((resolve) => resolve(promise))
  const call = (waiter.spareCall as PromiseCall | undefined) ?? new PromiseCall()
  // Where adding the callbacks calls code of the program, that may wait too.
  waiter.spareCall = undefined
  withoutStores(react, followed, call)
  call.outcome = undefined
  call.greenlet = greenlet
  return call
}

/**
 * A promise that was pending when calls of `wait()` for it were interrupted. It keeps their callbacks until it is settled, so
 * the next greenlet that waits for it uses the oldest of these calls. A promise that stays pending has callbacks for as many
 * calls as there were at the same time, however many greenlets were killed.
 */
class Interrupted extends Same {
  readonly #calls: PromiseCall[] = []

  /** Adds a call that was interrupted. */
  static keep(promise: object, call: PromiseCall): void {
    // A later V8 may not add private fields to frozen objects.
    if (!(#calls in promise) && Object.isExtensible(promise)) new Interrupted(promise)
    if (#calls in promise) promise.#calls.push(call)
  }

  /** Removes the oldest of them; undefined where there is none, or where the promise is settled. */
  static take(promise: object): PromiseCall | undefined {
    if (!(#calls in promise)) return undefined
    const call = promise.#calls.shift()
    if (call === undefined || call.outcome === undefined) return call
    // The callbacks were called, and will not be called again.
    promise.#calls.length = 0
    return undefined
  }
}

/** A thenable may call back at once, twice, or from another greenlet. A plain promise does not. */
function isPlain(promise: unknown): promise is Promise<unknown> {
  return isPromise(promise) && promise.then === Promise.prototype.then
}

function react(promise: Promise<unknown>, call: PromiseCall): Promise<void> {
  return promise.then(call.onValue, call.onError)
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  const kind = typeof value
  if ((kind !== 'object' && kind !== 'function') || value === null) return false
  return typeof (value as { then?: unknown }).then === 'function'
}

/** Where this file's own code ends. */
function last<T>(probe: () => T): T {
  return probe()
}

addOwnCode(first, last, first, last, wait)
