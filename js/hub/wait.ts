/**
 * `wait()`: blocks a greenlet until a promise is settled.
 */

import { addOwnCode } from '../common/own-code.ts'
import { isPromise } from 'node:util/types'
import { GreenletError } from '../common/errors.ts'
import { withoutStores } from '../core/context.ts'
import type { BlockingCall, GreenletRecord } from '../core/record.ts'
import { thread } from '../core/thread.ts'
import { setPendingWait } from '../greenlet/greenlet.ts'
import { block, currentWaiter, objectOf, type PendingWait, settleWait } from './block.ts'

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
  return block(follow(promise, waiter), wait) as Awaited<T>
}

thread.wait = wait

/**
 * Makes the call that is over when `promise` is settled. Apart from `wait`, because the callbacks hold the waiting
 * greenlet: it is reachable as long as the promise is. Its own stack must not hold it.
 */
function follow(promise: PromiseLike<unknown>, waiter: GreenletRecord): BlockingCall {
  const call: BlockingCall = { outcome: undefined, value: undefined, source: promise }
  const greenlet = objectOf(waiter)
  if ((promise as unknown) === greenlet) {
    throw new GreenletError('ERR_GREENLET_WAIT_ON_SELF', `greenlet '${waiter.name}' cannot wait for its own end`)
  }
  // A thenable may call back at once, twice, or from another greenlet. A plain promise does not.
  const plain = isPromise(promise) && promise.then === Promise.prototype.then
  const followed = plain ? promise : new Promise((resolve) => resolve(promise))
  const wait: PendingWait = { greenlet, call }
  setPendingWait(greenlet, wait)
  withoutStores(react, followed, wait)
  return call
}

function react(promise: Promise<unknown>, wait: PendingWait): Promise<void> {
  return promise.then(
    (value) => settleWait(wait, 'value', value),
    (error: unknown) => settleWait(wait, 'error', error),
  )
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
