/**
 * One switch. `switchTo` is everything that a switch does in JavaScript. The rest of this file is the start and the end
 * of a stack, the calls to the tracer, and the errors for refused switches.
 *
 * The value or the error that a switch takes along stays in `thread.payload` while native changes the stacks. The code
 * on the stack where the switch arrives takes it from there.
 *
 * Nothing here may hold the Greenlet object that leaves (its record does not hold it): what lies on a suspended stack
 * stays alive.
 *
 * Once loaded, this file, lifecycle.ts and registry.ts do not iterate, spread or destructure arrays: all of those call
 * `Array.prototype[Symbol.iterator]`, which a program may have replaced or deleted.
 */

import { isNativeError } from 'node:util/types'
import { addOwnCode } from '../common/own-code.ts'
import { GreenletError } from '../common/errors.ts'
import { quoted } from '../common/text.ts'
import * as contract from '../native/contract.ts'
import { runtimeInfo } from '../native/runtime-info.ts'
import { frameFor, resourceFor } from './context.ts'
import { enterDomains, leaveDomains } from './domains.ts'
import type { GreenletRecord } from './record.ts'
import * as threadModule from './thread.ts'

// The compiler knows the values of a module's own constants. An imported constant is loaded and checked wherever it is
// used, which costs a twentieth of a switch.
const { mail, STATUS, TARGET_GENERATION, TARGET_INDEX } = contract
const { DOMAINS, main, thread } = threadModule

/** Transfer flag: the payload is an error, to be thrown where it arrives. */
export const THROWS = 1
/** Transfer flag: set as long as there is a tracer or a watcher. */
const TRACED = 2
/** Transfer flag: there is a payload. Set from the beginning of a switch until the payload has been taken. */
const IN_PROGRESS = 4
/** The transfer flags that stay set after a switch. */
const LASTING = TRACED | DOMAINS

/** Where this file's own code begins; see common/own-code.ts. */
function first<T>(probe: () => T): T {
  return probe()
}

/**
 * Leaves this stack for the stack of `target` and takes `value` along, which is thrown there if `throws` is set.
 * Returns what the next switch to this stack brings, or throws it. `target` must be suspended, or unstarted and come
 * with its context: then it starts.
 *
 * No JavaScript function is called while `IN_PROGRESS` is set, so that V8 cannot end or interrupt a switch that is half
 * done.
 */
export function switchTo(
  target: GreenletRecord,
  value: unknown,
  throws: 0 | typeof THROWS = 0,
  resource?: object,
  frame?: unknown,
): unknown {
  const me = thread.current
  if (thread.transferFlags & IN_PROGRESS) throw inProgressError(target.name)
  const outgoing = thread.transferFlags | IN_PROGRESS | throws
  if (outgoing !== IN_PROGRESS) prepareUncommon(me, outgoing)
  thread.transferFlags = outgoing
  mail[TARGET_INDEX] = target.index
  mail[TARGET_GENERATION] = target.generation
  thread.payload = value
  thread.current = target
  try {
    if (resource === undefined) thread.native.switch()
    else thread.native.start(resource, frame)
  } catch (error) {
    stayOn(me)
    throw error
  }

  const status = mail[STATUS]!
  const flags = thread.transferFlags
  const arrived = thread.payload
  // The switch is over. Functions may be called from here on.
  thread.transferFlags = flags & LASTING
  thread.payload = undefined
  if (status !== 0) {
    mail[STATUS] = 0
    // The running greenlet is the one that called, or main where a stack ended and the next stack could not run.
    thread.current = me
    stayOn(me)
    thread.refusal = status
    throw refusedError(target.name, status)
  }
  return flags === IN_PROGRESS ? arrived : arriveUncommon(me, flags, arrived)
}

/** Before a switch with transfer flags other than "in progress". Apart from `switchTo`, which is faster when it is short. */
function prepareUncommon(me: GreenletRecord, outgoing: number): void {
  if (outgoing & DOMAINS) leaveDomains(me)
  thread.origin = me
}

/** After such a switch, on the stack of `me`: returns or throws what has arrived. */
function arriveUncommon(me: GreenletRecord, flags: number, arrived: unknown): unknown {
  const { origin } = thread
  thread.origin = undefined
  if (flags & DOMAINS) enterDomains(me)
  // The tracer may do anything, also switch away and come back. This call has already taken what arrived.
  reportSwitch((flags & THROWS) !== 0, origin)
  if ((flags & THROWS) === 0) return arrived
  if (me.blockingCall !== undefined) thread.onInterrupt!(me, arrived)
  throwOn(me, arrived)
}

/**
 * Throws an error that has come to `me`, the running greenlet. What nothing catches on main ends the process, and Node prints
 * the line that threw it, which must be the program's.
 */
export function throwOn(me: GreenletRecord, error: unknown): never {
  // Before the first greenlet has started there is no native part.
  if (me === main && thread.attached && isNativeError(error)) thread.native.throwFromOrigin(error)
  throw error // node-do-not-add-exception-line
}

/** After a switch that did not take place. */
function stayOn(me: GreenletRecord): void {
  resetSwitch(me)
  if (thread.transferFlags & DOMAINS) enterDomains(me)
}

/** As `switchTo`, for a `target` that has no stack yet. It gets a new one, or one that rests. */
export function startAndSwitchTo(target: GreenletRecord, value: unknown): unknown {
  return switchTo(target, value, 0, resourceFor(target), frameFor(target))
}

/** At the start of a greenlet: takes what `switchTo` brought, and, where switches are traced, the greenlet that switched. */
export function takePayload(): { readonly payload: unknown; readonly origin: GreenletRecord | undefined } {
  const { payload, origin } = thread
  resetSwitch(thread.current)
  return { payload, origin }
}

/**
 * For a stack at its end: sets which greenlet runs next and what it gets. Native switches to it when `entry` rests or returns.
 */
export function setNext(target: GreenletRecord, threw: boolean, value: unknown): void {
  if (thread.transferFlags & DOMAINS) leaveDomains(undefined)
  thread.transferFlags |= IN_PROGRESS | (threw ? THROWS : 0)
  if (thread.transferFlags !== IN_PROGRESS) thread.origin = thread.current
  mail[TARGET_INDEX] = target.index
  mail[TARGET_GENERATION] = target.generation
  thread.payload = value
  thread.current = target
}

/** Sets the running greenlet without a switch, and forgets the switch that was in progress. */
export function resetSwitch(running: GreenletRecord): void {
  thread.current = running
  thread.origin = undefined
  thread.payload = undefined
  thread.transferFlags &= LASTING
}

/** Sets the function that is called at each switch from now on; undefined for none. */
export function setTracer(tracer: threadModule.Tracer | undefined): void {
  thread.tracer = tracer
  if (tracer === undefined && thread.watcher === undefined) thread.transferFlags &= ~TRACED
  else thread.transferFlags |= TRACED
}

/** Sets a function of the package that is called at each switch from now on, where control arrives. */
export function setWatcher(watcher: NonNullable<typeof thread.watcher>): void {
  thread.watcher = watcher
  thread.transferFlags |= TRACED
}

/**
 * Tells the tracer, if there is one, that control has come from `origin` to the current greenlet. If the tracer throws,
 * tracing ends, and the error is thrown here.
 */
export function reportSwitch(threw: boolean, origin: GreenletRecord | undefined): void {
  const { tracer, watcher } = thread
  if (origin === undefined) return
  watcher?.(origin)
  if (tracer === undefined) return
  try {
    tracer(threw, origin, thread.current)
  } catch (error) {
    setTracer(undefined)
    throw error
  }
}

/** Only a debugger can switch in the middle of a switch: it has stopped there, or evaluates an expression there. */
function inProgressError(name: string): GreenletError {
  return new GreenletError(
    'ERR_GREENLET_FORBIDDEN',
    `greenlet ${quoted(name)} cannot be switched to from a debugger that has stopped in the middle of another switch; ` +
      'resume the program first',
  )
}

function refusedError(name: string, status: number): GreenletError {
  if (status >= contract.FORBIDDEN) {
    const why = contract.WHY_FORBIDDEN[status as contract.Forbidden]
    const { heldBy } = thread
    const where = heldBy !== undefined && status === contract.LIMITED ? `inside of ${heldBy}` : why
    return new GreenletError(
      'ERR_GREENLET_FORBIDDEN',
      `greenlet ${quoted(name)} cannot be switched to from here, ${where}; ` + 'switch after that has returned',
    )
  }
  switch (status) {
    case contract.NO_SLOT:
      return new GreenletError(
        'ERR_GREENLET_NO_SLOT',
        `greenlet ${quoted(name)} cannot start: all ${runtimeInfo().slots ?? ''} stack slots of this thread are in use; ` +
          'let some greenlets finish, or kill() those that are not needed',
      )
    case contract.LIMIT:
      return new GreenletError(
        'ERR_GREENLET_LIMIT',
        `greenlet ${quoted(name)} cannot start: a limit of configure() is reached, for live greenlets or for the memory of ` +
          `their stacks (${runtimeInfo().spilledBytes ?? 0} bytes); let some finish, or kill() those that are not needed`,
      )
    case contract.NO_MEMORY:
      return new GreenletError(
        'ERR_GREENLET_NO_MEMORY',
        `greenlet ${quoted(name)} cannot be switched to: the system gives no more memory; let some greenlets finish first`,
      )
    default:
      return new GreenletError(
        'ERR_GREENLET_GONE',
        `greenlet ${quoted(name)} no longer has a stack: its thread is being torn down; switch before that`,
      )
  }
}

/** Where this file's own code ends. */
function last<T>(probe: () => T): T {
  return probe()
}

addOwnCode(first, last, first, last, switchTo, startAndSwitchTo, throwOn)
