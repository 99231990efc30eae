/**
 * Blocking a greenlet until a callback of the event loop resumes it: what `wait()` and `sleep()` have in common. A
 * blocked greenlet switches to main, which runs the event loop (it is the hub).
 */

import { addOwnCode } from '../common/own-code.ts'
import { isPromise } from 'node:util/types'
import { GreenletError } from '../common/errors.ts'
import { immediate, nextTick } from '../common/turns.ts'
import { isInstance } from '../common/values.ts'
import type { Interruption } from '../core/interrupt.ts'
import { finishEnded, refuseInHook } from '../core/lifecycle.ts'
import { type BlockingCall, type GreenletRecord, LIVE, WAITING } from '../core/record.ts'
import { switchTo, throwOn } from '../core/switch.ts'
import { main, thread } from '../core/thread.ts'
import { Greenlet, greenletOf, recordOf } from '../greenlet/greenlet.ts'
import { noteWait } from '../stack/waits.ts'
import { noteExit, throwAgain } from './ending.ts'

/** Where this file's own code begins; see common/own-code.ts. */
function first<T>(probe: () => T): T {
  return probe()
}

/**
 * The current greenlet, which is about to block.
 *
 * @param what the blocking function, for the message
 * @throws GreenletError `ERR_GREENLET_WAIT_ON_MAIN`
 */
export function currentWaiter(what: string): GreenletRecord {
  finishEnded()
  if (thread.current !== main) return thread.current
  throw new GreenletError(
    'ERR_GREENLET_WAIT_ON_MAIN',
    `main cannot ${what}: it runs the event loop, which has to end the wait. Code runs on main after an await, in a ` +
      'callback or listener (of a timer, fs, a request), and in a route before app.use(greenlets()); use await there, or ' +
      'call it inside a greenlet: use spawn(fn), wrap the function by blocking(fn), or wrap the callback by bind(fn)',
  )
}

/**
 * Blocks the current greenlet until `call` is over. Returns its value or throws it. If another greenlet is in `kill()`
 * of this one, that one goes on, and main otherwise.
 *
 * @param from the function that the program has called; the frames of an error that comes out begin outside of it
 * @param source what ends the call: a promise, a thenable, or a signal
 */
export function block(call: BlockingCall, from: (...args: never[]) => unknown, source: object | undefined): unknown {
  refuseInHook()
  const { current } = thread
  if (current.ending !== undefined) throwAgain(current)
  // An interruption takes its place; see core/interrupt.ts.
  current.blockingCall = call
  if (thread.clock !== undefined) call.since = thread.clock()
  current.state = WAITING
  let ended: BlockingCall
  try {
    // The switch may also return because a child has ended. Only the outcome counts.
    while (current.blockingCall.outcome === undefined) switchTo(nextWhileBlocked(current), undefined)
    ended = current.blockingCall
  } finally {
    current.state = LIVE
    current.blockingCall = undefined
    if (call.outcome === undefined) call.greenlet = undefined
  }
  if (ended === call) {
    if (call.outcome === 'error') throw failed(call.value, current, from, source)
    return call.value
  }
  throw failed(ended.value, current, from, (ended as Interruption).source)
}

/** For the error of a call that failed: its `stack` will tell where the greenlet waited. Returns the error. */
function failed(
  error: unknown,
  waiter: GreenletRecord,
  from: (...args: never[]) => unknown,
  source: object | undefined,
): unknown {
  // An error must not keep a thenable of the program, which may be a whole query.
  const lasting = isPromise(source) || isInstance(source, Greenlet) || isInstance(source, AbortSignal)
  noteWait(error, waiter, lasting ? source : undefined, from)
  return error
}

// The room `core` is below this one.
thread.onInterrupt = (waiter, error) => {
  noteWait(error, waiter, undefined, block)
  noteExit(waiter, error)
}

/**
 * The greenlet that runs while `waiter` is blocked: main, which runs the event loop. If `waiter` was killed and waits
 * instead of ending, it is its killer, because nothing else would resume the killer before `waiter` has ended.
 */
function nextWhileBlocked(waiter: GreenletRecord): GreenletRecord {
  const { killer } = waiter
  return killer !== undefined && killer.state === LIVE ? killer : main
}

/** For a callback of the event loop: resumes a greenlet of which the call is over, unless it was resumed before. */
export function resume(call: BlockingCall, greenlet: Greenlet): void {
  finishEnded()
  const waiter = recordOf(greenlet)
  if (waiter.blockingCall !== call) return
  if (thread.current !== main) {
    // This is an event loop inside of a greenlet, for example one of a vm context with microtasks of its own. That
    // greenlet must not be left.
    immediate(resume, call, greenlet)
    return
  }
  thread.resumedByHub = greenlet
  try {
    switchTo(waiter, undefined)
  } catch (error) {
    // A greenlet sent an error to main while main ran the event loop. It is thrown outside of this promise callback,
    // because it would look like a handled error there.
    nextTick(() => throwOn(main, error))
  } finally {
    thread.resumedByHub = undefined
  }
}

/**
 * The object of a greenlet that is about to block. The hub has it at hand if it resumed that greenlet; a WeakRef is
 * slower.
 */
export function objectOf(waiter: GreenletRecord): Greenlet {
  if (waiter.guest !== undefined) return greenletOf(waiter)
  if (waiter.greenlet !== undefined) return waiter.greenlet as Greenlet
  // Only `resume` sets it.
  const resumed = thread.resumedByHub as Greenlet | undefined
  return resumed !== undefined && recordOf(resumed) === waiter ? resumed : greenletOf(waiter)
}

/** Where this file's own code ends. */
function last<T>(probe: () => T): T {
  return probe()
}

addOwnCode(first, last, first, last, block)
