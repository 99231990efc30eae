/**
 * `wait()`: blocks a greenlet until a promise is settled.
 */

import { addOwnCode } from '../common/own-code.ts'
import { isPromise } from 'node:util/types'
import { GreenletError } from '../common/errors.ts'
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
    else if (isPlain(promise)) keepInterrupted(promise, call)
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
  if (plain && interrupted !== undefined) {
    const call = takeInterrupted(interrupted, promise)
    if (call !== undefined) {
      call.greenlet = greenlet
      return call
    }
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
 * The calls that were interrupted, of promises that were pending then, in the order in which they began; undefined before
 * the first one. A promise keeps its callbacks until it is settled, so the next greenlet that waits for it uses the oldest
 * of these calls, with its callbacks. A promise that stays pending has callbacks for as many calls as there were at the
 * same time, however many greenlets were killed.
 */
let interrupted: WeakMap<object, PromiseCall[]> | undefined

function keepInterrupted(promise: Promise<unknown>, call: PromiseCall): void {
  interrupted ??= new WeakMap()
  const calls = interrupted.get(promise)
  if (calls === undefined) interrupted.set(promise, [call])
  else calls.push(call)
}

function takeInterrupted(all: WeakMap<object, PromiseCall[]>, promise: Promise<unknown>): PromiseCall | undefined {
  const call = all.get(promise)?.shift()
  if (call === undefined || call.outcome === undefined) return call
  // The promise is settled: the callbacks were called, and will not be called again.
  all.delete(promise)
  return undefined
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

addOwnCode(first, last)
