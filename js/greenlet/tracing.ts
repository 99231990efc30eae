/**
 * `settrace`: a function that is called at every switch, as Python greenlet's. A switch checks for it in a word that it
 * reads anyway (`thread.transferFlags`), so a program that does not trace pays nothing.
 */

import { typeError } from '../common/errors.ts'
import { describe } from '../common/values.ts'
import { finishEnded } from '../core/lifecycle.ts'
import { setTracer } from '../core/switch.ts'
import { thread, type Tracer } from '../core/thread.ts'
import { type Greenlet, greenletOf } from './greenlet.ts'

/**
 * `'throw'` where an error arrives, by `throw()`, by `kill()` or from a child that ended with it; `'switch'` otherwise.
 *
 * @example
 * ```js
 * settrace((event, { target }) => {
 *   if (event === 'throw') console.error(`an error arrives in ${target.name}`)
 * })
 * try {
 *   new Greenlet(() => { throw new Error('failed') }).switch()
 * } catch {}
 * settrace(null)
 * ```
 */
export type TraceEvent = 'switch' | 'throw'

/**
 * Called on the stack of `target`, which has just become the current greenlet, before it goes on. `origin` is the
 * greenlet that switched away or ended. The return value is ignored. If the function switches, it is called for that
 * switch too. If it throws, tracing ends, and its error is thrown where the switch arrived, in place of the value or
 * error of the switch.
 *
 * @example
 * ```js
 * const trace = (event, { origin, target }) => console.error(event, origin.name, '->', target.name)
 * settrace(trace)
 * new Greenlet(() => {}, { name: 'job' }).switch()
 * settrace(null)
 * ```
 */
export type TraceFunction = (
  event: TraceEvent,
  switched: { readonly origin: Greenlet; readonly target: Greenlet },
) => void

/** The function that the user gave, for each tracer that was made for one. */
const traceFunctions = new WeakMap<Tracer, TraceFunction>()

/**
 * Calls `fn` at every switch of this thread from now on: those by `switch()`, `throw()` and `kill()`, those of `wait()`
 * and `sleep()`, the start of a greenlet and its end. A switch to the current greenlet counts. Null ends tracing.
 *
 * @example
 * ```js
 * let switches = 0
 * settrace(() => void switches++)
 * new Greenlet(() => {}).switch()
 * settrace(null)
 * switches // 2
 * ```
 *
 * @returns the trace function until now, or null
 * @throws TypeError `ERR_GREENLET_INVALID_ARG`
 */
export function settrace(fn: TraceFunction | null): TraceFunction | null {
  if (fn !== null && typeof fn !== 'function') {
    throw typeError(`settrace() takes a function, or null to end tracing, not ${describe(fn)}`)
  }
  const previous = gettrace()
  setTracer(fn === null ? undefined : tracerFor(fn))
  return previous
}

/**
 * The trace function of this thread, or null.
 *
 * @example
 * ```js
 * gettrace() // null
 * ```
 */
export function gettrace(): TraceFunction | null {
  finishEnded()
  const { tracer } = thread
  return (tracer && traceFunctions.get(tracer)) ?? null
}

function tracerFor(fn: TraceFunction): Tracer {
  const tracer: Tracer = (threw, origin, target) => {
    fn(threw ? 'throw' : 'switch', { origin: greenletOf(origin), target: greenletOf(target) })
  }
  traceFunctions.set(tracer, fn)
  return tracer
}
