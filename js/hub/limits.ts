/**
 * The limits of a wait: a time and a signal, each of which ends it with an error.
 */

import { rangeError, TimeoutError, typeError, withoutFrames } from '../common/errors.ts'
import { checkOptions, LONGEST_MS } from '../common/options.ts'
import { microtask } from '../common/turns.ts'
import { describe, isInstance } from '../common/values.ts'
import { quoted } from '../common/text.ts'
import { endWait } from '../core/interrupt.ts'
import type { BlockingCall, GreenletRecord } from '../core/record.ts'
import { thread } from '../core/thread.ts'
import { type Greenlet, isGreenlet } from '../greenlet/greenlet.ts'
import { noteWait } from '../stack/waits.ts'
import { objectOf, resume } from './block.ts'
import { takePendingExit } from './ending.ts'

/**
 * When `join()` gives up. Each option may be left out, or undefined. `wait()` has one more: see {@link WaitOptions}.
 *
 * @example
 * ```js
 * const slow = spawn(() => sleep(60_000))
 * const limits = { timeout: 5, signal: new AbortController().signal }
 * await spawn(() => {
 *   try {
 *     slow.join(limits)
 *   } catch (error) {
 *     console.log(error.code) // ERR_GREENLET_TIMEOUT
 *   }
 * })
 * slow.kill()
 * ```
 */
export interface WaitLimits {
  /** The wait ends as soon as it is aborted, and throws its `reason`. */
  readonly signal?: AbortSignal | undefined
  /**
   * After so many milliseconds, 0 to 2**31 - 1, the wait ends with a {@link TimeoutError}. A promise that is settled by
   * then wins.
   */
  readonly timeout?: number | undefined
}

/** Checks the options of a wait; `known` are the names that it has. */
export function checkLimits<T extends WaitLimits>(
  of: string,
  options: unknown,
  known: readonly (keyof T & string)[],
): Partial<T> {
  const { signal, timeout } = checkOptions<T>(of, options, known)
  checkSignal(of, signal)
  if (timeout !== undefined) checkTime(`the timeout of ${of}`, timeout)
  return options as Partial<T>
}

/** Checks the time of a timer. */
export function checkTime(of: string, ms: unknown): void {
  if (typeof ms !== 'number' || Number.isNaN(ms)) throw typeError(`${of} takes milliseconds, not ${describe(ms)}`)
  if (ms >= 0 && ms <= LONGEST_MS) return
  throw rangeError(`${of} takes 0 to ${LONGEST_MS} milliseconds, not ${ms}`)
}

export function checkSignal(of: string, signal: unknown): void {
  if (signal === undefined || isInstance(signal, AbortSignal)) return
  throw typeError(`the signal of ${of} must be an AbortSignal, not ${describe(signal)}`)
}

/** What `waiter` has to throw where the signal of a wait is aborted already: its reason. */
export function aborted(signal: AbortSignal, waiter: GreenletRecord, from: (...args: never[]) => unknown): unknown {
  const reason = reasonOf(signal, waiter)
  noteWait(reason, waiter, signal, from)
  return reason
}

/** The same without a place: for the tools, also on main. */
export function reasonOf(signal: AbortSignal, waiter: GreenletRecord = thread.current): unknown {
  // The same signal may have to kill the greenlet. After the reason, the exit would interrupt the cleanup.
  return takePendingExit(waiter) ?? signal.reason
}

/** The timer and the abort listener of one wait. */
export class Limits {
  readonly #signal: AbortSignal | undefined
  readonly #abort: () => void
  readonly timer: NodeJS.Timeout | undefined
  readonly ms: number | undefined
  readonly #realm = thread.realm

  /**
   * @param call the call that is ended, once the greenlet blocks in it
   * @param source what the greenlet waits for
   */
  constructor(what: string, limits: WaitLimits, call: BlockingCall, waiter: GreenletRecord, source: unknown) {
    const { signal, timeout } = limits
    const greenlet = objectOf(waiter)
    this.#signal = signal
    this.#abort = () => {
      const interruption = waiter.blockingCall === call ? endWait(waiter, signal!.reason as unknown, signal) : undefined
      // In a job of its own, so that the code that called `abort()` goes on first.
      if (interruption !== undefined) microtask(() => resume(interruption, greenlet))
    }
    signal?.addEventListener('abort', this.#abort, { once: true })
    this.ms = timeout
    if (timeout === undefined) return
    this.timer = this.#realm.setTimeout(() => {
      if (waiter.blockingCall !== call) return
      const interruption = endWait(waiter, timeoutError(what, timeout, waiter, source))
      if (interruption !== undefined) resume(interruption, greenlet)
    }, timeout)
  }

  get hasSignal(): boolean {
    return this.#signal !== undefined
  }

  /** Removes both. */
  stop(): void {
    this.#signal?.removeEventListener('abort', this.#abort)
    if (this.timer !== undefined) this.#realm.clearTimeout(this.timer)
  }
}

function timeoutError(what: string, timeout: number, waiter: GreenletRecord, source: unknown): TimeoutError {
  // The `stack` tells the wait; a timer has no other frames.
  return withoutFrames(
    () =>
      new TimeoutError(
        `greenlet ${quoted(waiter.name)} waited ${timeout} ms in ${what} for ${describeSource(source)}, which is its timeout; ` +
          'catch ERR_GREENLET_TIMEOUT where that may happen, or set a longer timeout',
      ),
  )
}

function describeSource(source: unknown): string {
  return isGreenlet(source) ? `greenlet '${(source as Greenlet).name}'` : describe(source)
}
