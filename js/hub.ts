/**
 * Blocking on promises and timers. A greenlet that waits switches to main, which runs the event loop (it is the hub), and
 * a callback of what it waits for switches back. Main itself cannot wait: nobody would run the event loop.
 */

import { isPromise } from 'node:util/types'
import { checkMilliseconds, checkSignal } from './check.ts'
import { GreenletError } from './errors.ts'
import { type Greenlet, greenletOf, innerOf } from './greenlet.ts'
import { type BlockingCall, type Inner, LIVE, main, WAITING } from './inner.ts'
import { here, refuseInHook } from './life.ts'
import { current, transfer } from './transfer.ts'

/**
 * Blocks this greenlet, and nothing else, until `promise` is settled, and returns its value or throws its reason. What is
 * not a promise or thenable comes back at once.
 *
 * Meanwhile main goes on: from the event loop if that had resumed this greenlet, else from its own `switch()`, which returns
 * undefined. Others cannot `switch()` to a greenlet that waits; `throw()` and `kill()` interrupt the wait, and what becomes
 * of the promise is ignored then. The result of a child that dies meanwhile is dropped, its error is thrown here.
 *
 * @throws GreenletError `ERR_GREENLET_WAIT_ON_MAIN`
 */
export function wait<T>(promise: T): Awaited<T> {
  const waiter = checkWaiter('wait()')
  if (!isThenable(promise)) return promise as Awaited<T>
  return block(follow(promise, waiter)) as Awaited<T>
}

/**
 * Blocks this greenlet for `ms` milliseconds, 0 to 2**31 - 1. For the rest it is as `wait()`.
 *
 * @throws the `reason` of `signal`, as soon as that is aborted
 * @throws TypeError, RangeError `ERR_GREENLET_INVALID_ARG`
 */
export function sleep(ms: number, options?: { readonly signal?: AbortSignal | undefined }): void {
  const waiter = checkWaiter('sleep()')
  checkMilliseconds(ms)
  const signal = checkSignal(options)
  signal?.throwIfAborted()

  const nap = startNap(ms, signal, waiter)
  try {
    block(nap)
  } finally {
    nap.stop()
  }
}

/** Leaves the stack to main until `call` is over. */
function block(call: BlockingCall): unknown {
  refuseInHook()
  current.call = call
  current.life = WAITING
  try {
    // Anybody may have switched here: a child that died. Only the outcome counts.
    while (call.outcome === undefined) transfer(main, undefined)
  } finally {
    current.life = LIVE
    current.call = undefined
  }
  if (call.outcome === 'error') throw call.value
  return call.value
}

/** The greenlet that `wake` resumes, until control is back on main: its object is at hand, and a WeakRef costs more to ask. */
let awake: Greenlet | undefined

/** A callback in the event loop: resumes a greenlet whose call is over, unless something else did before. */
function wake(call: BlockingCall, greenlet: Greenlet): void {
  const me = here()
  const waiter = innerOf(greenlet)
  if (waiter.call !== call) return
  if (me !== main) {
    // A loop within the loop, as that of a vm context with microtasks of its own, in a greenlet. It must not be left.
    setImmediate(wake, call, greenlet)
    return
  }
  awake = greenlet
  try {
    transfer(waiter, undefined)
  } catch (error) {
    // Somebody let main have an error while it ran the event loop. Not the promise's: it must not look handled.
    process.nextTick(() => {
      throw error
    })
  } finally {
    awake = undefined
  }
}

// The next functions are apart because their callbacks hold the waiting greenlet, which is reachable as long as what it
// waits for is; its own stack must not hold it.

function follow(promise: PromiseLike<unknown>, waiter: Inner): BlockingCall {
  const call: BlockingCall = { outcome: undefined, value: undefined }
  const greenlet = awake !== undefined && innerOf(awake) === waiter ? awake : greenletOf(waiter)
  if ((promise as unknown) === greenlet) {
    throw new GreenletError('ERR_GREENLET_WAIT_ON_SELF', `greenlet '${waiter.name}' cannot wait for its own end`)
  }
  // A thenable that is not a plain promise may call back at once, twice, or from another greenlet. A promise does not.
  const plain = isPromise(promise) && promise.then === Promise.prototype.then
  const followed = plain ? promise : new Promise((resolve) => resolve(promise))
  const settle = (outcome: 'value' | 'error') => (value: unknown) => {
    call.outcome = outcome
    call.value = value
    wake(call, greenlet)
  }
  followed.then(settle('value'), settle('error'))
  return call
}

function startNap(ms: number, signal: AbortSignal | undefined, waiter: Inner): BlockingCall & { stop(): void } {
  const greenlet = greenletOf(waiter)
  const abort = (): void => {
    nap.outcome = 'error'
    nap.value = signal!.reason
    // Whoever aborts goes on first.
    queueMicrotask(() => wake(nap, greenlet))
  }
  const timer = setTimeout(() => {
    nap.outcome = 'value'
    wake(nap, greenlet)
  }, ms)
  signal?.addEventListener('abort', abort, { once: true })
  const nap: BlockingCall & { stop(): void } = {
    outcome: undefined,
    value: undefined,
    stop() {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
    },
  }
  return nap
}

function checkWaiter(what: string): Inner {
  const me = here()
  if (me !== main) return me
  throw new GreenletError(
    'ERR_GREENLET_WAIT_ON_MAIN',
    `main cannot ${what}: it runs the event loop that would end it; call it inside a greenlet, as spawn() makes one, or await`,
  )
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  const kind = typeof value
  if ((kind !== 'object' && kind !== 'function') || value === null) return false
  return typeof (value as { then?: unknown }).then === 'function'
}
