/**
 * `sleep()`: blocks a greenlet for a time.
 */

import { addOwnCode } from '../common/own-code.ts'
import { checkOptions } from '../common/options.ts'
import { microtask } from '../common/turns.ts'
import type { BlockingCall, GreenletRecord } from '../core/record.ts'
import { thread } from '../core/thread.ts'
import { greenletOf } from '../greenlet/greenlet.ts'
import { block, currentWaiter, resume } from './block.ts'
import { aborted, checkSignal, checkTime } from './limits.ts'

/** Where this file's own code begins; see common/own-code.ts. */
function first<T>(probe: () => T): T {
  return probe()
}

const KNOWN = ['signal'] as const

/**
 * The options of {@link sleep}.
 *
 * @example
 * ```js
 * const options = { signal: AbortSignal.timeout(1000) }
 * await spawn(() => sleep(1, options))
 * ```
 */
export interface SleepOptions {
  /** The sleep ends as soon as it is aborted, and throws its `reason`. */
  readonly signal?: AbortSignal | undefined
}

/** A call that a timer ends. `stop` removes the timer and the abort listener. */
interface TimedCall extends BlockingCall {
  stop(): void
}

/**
 * Blocks this greenlet for `ms` milliseconds, 0 to 2**31 - 1. In all other respects it is as `wait()`.
 *
 * @example
 * ```js
 * spawn(() => {
 *   for (let i = 0; i < 3; i++) sleep(10) // other greenlets run meanwhile
 * })
 *
 * const timeout = AbortSignal.timeout(5)
 * await spawn(() => {
 *   try {
 *     sleep(60_000, { signal: timeout })
 *   } catch (error) {
 *     console.log(error.name) // TimeoutError
 *   }
 * })
 * ```
 *
 * @throws the `reason` of `signal`, as soon as that is aborted
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
 * @throws GreenletError `ERR_GREENLET_WAIT_ON_MAIN`
 */
export function sleep(ms: number, options?: SleepOptions): void {
  const waiter = currentWaiter('sleep()')
  checkTime('sleep()', ms)
  const signal = options === undefined ? undefined : checkOptions<SleepOptions>('sleep()', options, KNOWN).signal
  checkSignal('sleep()', signal)
  if (signal?.aborted) throw aborted(signal, waiter, sleep)

  const call = startTimer(ms, signal, waiter)
  try {
    block(call, sleep, signal)
  } finally {
    call.stop()
  }
}

/** Apart from `sleep`, because the callbacks hold the waiting greenlet; see `follow` in wait.ts. */
function startTimer(ms: number, signal: AbortSignal | undefined, waiter: GreenletRecord): TimedCall {
  const greenlet = greenletOf(waiter)
  const abort = (): void => {
    call.outcome = 'error'
    call.value = signal!.reason
    // In a job of its own, so that the code that called `abort()` goes on first.
    microtask(() => resume(call, greenlet))
  }
  const { realm } = thread
  const timer = realm.setTimeout(() => {
    call.outcome = 'value'
    resume(call, greenlet)
  }, ms)
  signal?.addEventListener('abort', abort, { once: true })
  const call: TimedCall = {
    outcome: undefined,
    value: undefined,
    greenlet: undefined,
    waitsFor: timer,
    since: 0,
    ms,
    limits: signal === undefined ? undefined : { timer: undefined, ms: undefined, hasSignal: true },
    stop() {
      realm.clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
    },
  }
  return call
}

/** Where this file's own code ends. */
function last<T>(probe: () => T): T {
  return probe()
}

addOwnCode(first, last, first, last, sleep)
