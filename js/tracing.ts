/**
 * Being told of every switch: Python greenlet's `settrace`. The switch itself looks at one word that it reads anyway
 * (`special` in transfer.ts), so that it costs nothing where nobody traces.
 */

import { describe, typeError } from './check.ts'
import { type Greenlet, greenletOf } from './greenlet.ts'
import { isTracing, setTracer } from './transfer.ts'

/** `'throw'` where an error arrives, by `throw()`, `kill()` or because a child died of it; `'switch'` otherwise. */
export type TraceEvent = 'switch' | 'throw'

/**
 * Called on the stack of `target`, which has just become the current greenlet, before it goes on. `origin` is the one that
 * left, or died. What it returns is ignored. If it switches, it is called for that too. If it throws, tracing ends, and its
 * error is thrown where the switch arrived, in place of what was under way.
 */
export type TraceFunction = (
  event: TraceEvent,
  switched: { readonly origin: Greenlet; readonly target: Greenlet },
) => void

let traceFunction: TraceFunction | null = null

/**
 * Calls `fn` at every switch of this thread from now on: those by `switch()`, `throw()` and `kill()`, those of `wait()` and
 * `sleep()`, the start of a greenlet and its end. Switching to oneself counts. Null ends it.
 *
 * @returns the trace function until now, or null
 * @throws TypeError `ERR_GREENLET_INVALID_ARG`
 */
export function settrace(fn: TraceFunction | null): TraceFunction | null {
  if (fn !== null && typeof fn !== 'function') {
    throw typeError(`settrace() takes a function, or null to end tracing, not ${describe(fn)}`)
  }
  const previous = gettrace()
  traceFunction = fn
  if (fn === null) {
    setTracer(undefined)
  } else {
    setTracer((threw, origin, target) => {
      fn(threw ? 'throw' : 'switch', { origin: greenletOf(origin), target: greenletOf(target) })
    })
  }
  return previous
}

/** The trace function of this thread, or null. */
export function gettrace(): TraceFunction | null {
  return isTracing() ? traceFunction : null
}
