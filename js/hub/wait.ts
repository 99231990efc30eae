/**
 * `wait()`: blocks a greenlet until a promise is settled.
 */

import { addOwnCode } from '../common/own-code.ts'
import { isPromise } from 'node:util/types'
import { GreenletError, typeError } from '../common/errors.ts'
import { Same } from '../common/same.ts'
import { immediate } from '../common/turns.ts'
import * as values from '../common/values.ts'
import { quoted } from '../common/text.ts'
import { dropStores, withoutStores } from '../core/context.ts'
import type { BlockingCall, GreenletRecord } from '../core/record.ts'
import { thread } from '../core/thread.ts'
import { type Greenlet, isGreenlet } from '../greenlet/greenlet.ts'
import { block, currentWaiter, objectOf, resume } from './block.ts'
import { aborted, checkLimits, Limits, type WaitLimits } from './limits.ts'

// Own constants, because imported ones make a wait slower; see core/switch.ts.
const { describe, NativePromise } = values
const promisePrototype = NativePromise.prototype

/** Where this file's own code begins; see common/own-code.ts. */
function first<T>(probe: () => T): T {
  return probe()
}

/**
 * The options of {@link wait}. Each may be left out, or undefined.
 *
 * @example
 * ```js
 * let open
 * const opening = new Promise((resolve) => (open = resolve))
 * const giveBack = (connection) => {
 *   console.log(connection) // a connection
 * }
 * const g = spawn(() => wait(opening, { timeout: 5, abandoned: giveBack }))
 * await g.catch((error) => error.code) // 'ERR_GREENLET_TIMEOUT'
 * open('a connection')
 * ```
 */
export interface WaitOptions<T = unknown> extends WaitLimits {
  /**
   * Gets the value if the wait has ended in another way (`kill()`, `throw()`, `interrupt()`, `timeout`, `signal`) and the
   * promise is fulfilled all the same, now or later: so that a connection that a pool hands out too late goes back. It is
   * called on main, in a turn of its own, where an error is an uncaught exception, as in a timer. If the promise is
   * rejected, it is not called.
   */
  readonly abandoned?: ((value: T) => void) | undefined
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
 * @example
 * ```js
 * function size(path) {
 *   return wait(readFile(path)).length // not async, and the event loop goes on meanwhile
 * }
 * await spawn(() => size('package.json') > 0) // true
 * ```
 *
 * @param promise a promise, a thenable, or what `spawn()` gave
 * @param options may end the wait earlier, with an error, by `timeout` (ms) or `signal`; see {@link WaitOptions}
 * @throws the reason of the promise; of a spawned greenlet that was killed, a GreenletError `ERR_GREENLET_KILLED`
 * @throws TimeoutError `ERR_GREENLET_TIMEOUT` after `timeout` milliseconds
 * @throws the `reason` of `signal`, as soon as that is aborted
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG` for wrong options
 * @throws GreenletError `ERR_GREENLET_WAIT_ON_MAIN`, `ERR_GREENLET_WAIT_ON_SELF`
 */
export function wait<T>(promise: T, options?: WaitOptions<Awaited<T>>): Awaited<T> {
  const waiter = currentWaiter('wait()')
  if (options !== undefined) {
    return waitWithin(promise, checkWaitOptions(options), 'wait()', wait, waiter) as Awaited<T>
  }
  if (!isThenable(promise)) return promise as Awaited<T>
  const call = follow(promise, waiter)
  call.waitsFor = promise
  try {
    return block(call, wait, promise) as Awaited<T>
  } finally {
    end(promise, call, waiter)
  }
}

function end(promise: PromiseLike<unknown>, call: PromiseCall, waiter: GreenletRecord): void {
  const { value } = call
  call.value = undefined
  call.waitsFor = undefined
  // The promise is settled, so it has no callbacks any more.
  if (call.outcome !== undefined) {
    waiter.spareCall = call
    return
  }
  if (value !== undefined) dropStores(value)
  if (isPlain(promise)) Interrupted.keep(promise, call)
}

thread.wait = wait

/**
 * As `wait()`, with options that were checked.
 *
 * @param what the blocking function, for messages
 * @param from the blocking function, as in `block`
 */
export function waitWithin(
  promise: unknown,
  options: WaitOptions<never>,
  what: string,
  from: (...args: never[]) => unknown,
  waiter: GreenletRecord,
): unknown {
  const { signal, abandoned } = options
  if (!isThenable(promise)) {
    if (signal?.aborted !== true) return promise
    if (abandoned !== undefined) passer(abandoned)(promise)
    throw aborted(signal, waiter, from)
  }
  if ((promise as unknown) === objectOf(waiter)) throw waitOnSelf(waiter)
  const followed = plainOf(promise)
  const call = follow(followed, waiter)
  call.waitsFor = promise
  let limits: Limits | undefined
  let hasEnded = false
  try {
    limits = new Limits(what, options, call, waiter, promise)
    call.limits = limits
    // Not before: calling `then` may call code of the program, which may abort the signal.
    if (signal?.aborted) throw aborted(signal, waiter, from)
    const value = block(call, from, promise)
    hasEnded = true
    return value
  } finally {
    limits?.stop()
    call.limits = undefined
    if (!hasEnded && abandoned !== undefined && call.outcome !== 'error') passOn(followed, abandoned)
    end(followed, call, waiter)
  }
}

/** One promise for all waits of a greenlet, so that interrupted ones can share its callbacks. Other thenables may only be followed once. */
function plainOf(promise: PromiseLike<unknown>): Promise<unknown> {
  if (isPlain(promise)) return promise
  if (isGreenlet(promise) && isPromise(promise)) return (promise as unknown as { promise: Promise<unknown> }).promise
  return new NativePromise((resolve) => resolve(promise))
}

/** Calls `abandoned` with the value of a promise. */
function passOn(promise: Promise<unknown>, abandoned: (value: never) => void): void {
  void Reflect.apply(promisePrototype.then, promise, [passer(abandoned), nothing])
}

/** Returns a function that calls `abandoned` with its value, on main, in a turn of its own. */
function passer(abandoned: (value: never) => void): (value: unknown) => void {
  return (value) => void immediate(() => abandoned(value as never))
}

function nothing(): void {}

function checkWaitOptions(options: unknown): WaitOptions<never> {
  if (typeof options === 'number') {
    throw typeError(
      `the options of wait() are an object, not the number ${options}; promises.map(wait) passes an index, so write ` +
        'promises.map((promise) => wait(promise))',
    )
  }
  const checked = checkLimits<WaitOptions<never>>('wait()', options, ['signal', 'timeout', 'abandoned'])
  const { abandoned } = checked
  if (abandoned === undefined || typeof abandoned === 'function') return checked
  throw typeError(`the option abandoned of wait() takes a function, not ${describe(abandoned)}`)
}

/**
 * A call of `wait()`, and its callbacks on the promise. A greenlet uses one for all its waits, as long as each of them
 * ends because its promise is settled.
 */
class PromiseCall implements BlockingCall {
  outcome: 'value' | 'error' | undefined = undefined
  /** Before there is an outcome: what `dropStores` takes if the call is interrupted. Not a field of its own, for the sake of memory. */
  value: unknown = undefined
  greenlet: Greenlet | undefined = undefined
  waitsFor: unknown = undefined
  since = 0
  limits: Limits | undefined = undefined
  /** Once the call was interrupted: those that share its callbacks. */
  joined: Set<PromiseCall> | undefined = undefined
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

/** In a callback of a promise: the call is over. Resumes the greenlet, or if that was interrupted, those that have joined. */
function settle(call: PromiseCall, outcome: 'value' | 'error', value: unknown): void {
  const { greenlet } = call
  call.outcome = outcome
  if (greenlet === undefined) {
    // One of them may interrupt others, which then leave the set.
    call.joined?.forEach((joined) => settle(joined, outcome, value))
    return
  }
  call.greenlet = undefined
  call.value = value
  resume(call, greenlet)
}

/** Returns the call that is over when `promise` is settled. The call holds the waiting greenlet until then. */
function follow(promise: PromiseLike<unknown>, waiter: GreenletRecord): PromiseCall {
  const greenlet = objectOf(waiter)
  if ((promise as unknown) === greenlet) throw waitOnSelf(waiter)
  const call = (waiter.spareCall as PromiseCall | undefined) ?? new PromiseCall()
  // Where adding the callbacks calls code of the program, that may wait too.
  waiter.spareCall = undefined
  const plain = isPlain(promise)
  if (!plain || !Interrupted.join(promise, call)) {
    const followed = plain ? promise : new NativePromise((resolve) => resolve(promise))
    call.value = withoutStores(react, followed, call)
  }
  call.outcome = undefined
  call.greenlet = greenlet
  return call
}

function waitOnSelf(waiter: GreenletRecord): GreenletError {
  return new GreenletError('ERR_GREENLET_WAIT_ON_SELF', `greenlet ${quoted(waiter.name)} cannot wait for its own end`)
}

/**
 * A promise that was pending when a call of `wait()` for it was interrupted. It keeps the callbacks of that call until it is
 * settled, so later calls share them. A promise that stays pending has no more callbacks than there were calls when the first
 * of them was interrupted, however many greenlets wait for it later.
 */
class Interrupted extends Same {
  /** Whether there has been one. In most programs there is none, and V8 looks for a private field that is not there in a call of C++. */
  static #exist = false
  readonly #first: PromiseCall

  constructor(promise: object, first: PromiseCall) {
    super(promise)
    this.#first = first
    Interrupted.#exist = true
  }

  /** For a call that was interrupted. */
  static keep(promise: object, call: PromiseCall): void {
    // The wait may have been refused before it began.
    call.greenlet = undefined
    if (#first in promise) promise.#first.joined?.delete(call)
    // A later V8 may not add private fields to frozen objects.
    else if (Object.isExtensible(promise)) new Interrupted(promise, call)
  }

  /** Lets `call` share the callbacks of the first one. False where there is none, or where the promise is settled. */
  static join(promise: object, call: PromiseCall): boolean {
    if (!Interrupted.#exist || !(#first in promise) || promise.#first.outcome !== undefined) return false
    const { joined } = promise.#first
    if (joined === undefined) promise.#first.joined = new Set<PromiseCall>().add(call)
    else joined.add(call)
    return true
  }
}

/** A thenable may call back at once, twice, or from another greenlet. A plain promise does not. */
function isPlain(promise: unknown): promise is Promise<unknown> {
  return isPromise(promise) && promise.then === promisePrototype.then
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
