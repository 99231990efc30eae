/**
 * One switch. Everything a switch does in JavaScript is in `transfer`; the rest of this file is what it refuses, what it
 * does when somebody traces, and the few variables it works on. The value or the error under way stays here, in `parcel`,
 * while native changes the stacks: the side that arrives picks it up.
 *
 * Nothing here may hold on to the Greenlet that leaves (its Inner does not): a suspended stack keeps alive what lies on it.
 *
 * Once loaded, neither this file nor life.ts and registry.ts iterate, spread or take arrays apart: all of those call
 * `Array.prototype[Symbol.iterator]`, which a program may have replaced or deleted.
 */

import { frameFor, resourceFor } from './context.ts'
import { GreenletError } from './errors.ts'
import { type Inner, main } from './inner.ts'
import {
  FORBIDDEN,
  LIMIT,
  mail,
  type Native,
  NO_MEMORY,
  NO_SLOT,
  runtimeInfo,
  STATUS,
  TARGET_GENERATION,
  TARGET_INDEX,
  WHY_FORBIDDEN,
} from './native.ts'

// A module's own constants are known to the compiler. An imported one is loaded and looked at wherever it is used, which
// is a twentieth of a switch.
const words = mail
const [INDEX, GENERATION, OUTCOME] = [TARGET_INDEX, TARGET_GENERATION, STATUS] as const

/** The greenlet that runs; outside of a switch, ask `here` in life.ts. */
export let current: Inner = main

/** What is under way between two stacks. */
let parcel: unknown
/** What is special about it, as bits. One word, so that a switch looks at one. */
let special = 0
/** The parcel is an error to throw where it arrives. */
export const FAILED = 1
/** Somebody traces: set as long as `tracer` is. */
const TRACED = 2
/** There is a parcel: from where a switch begins until what it brings has been picked up. */
const UNDER_WAY = 4
/** Where something special is, who left, until somebody has arrived. */
let origin: Inner | undefined
let native: Native

/** Called on the stack where a switch has arrived, before anything else goes on there. */
export type Tracer = (threw: boolean, origin: Inner, target: Inner) => void
let tracer: Tracer | undefined

/** Gives this file the thread's connection to native, once. */
export function connect(attached: Native): void {
  native = attached
}

/** The thread's connection to native. There is one once a greenlet was made. */
export function connection(): Native {
  return native
}

/**
 * Leaves this stack for `target`'s, taking `value` along, to be thrown there if it has `FAILED`. Returns what the next one to
 * switch here brings, or throws it. `target` must be suspended, unless it comes with its context: then it starts.
 *
 * Nothing of ours is called between the two writes of `UNDER_WAY`, so that V8 cannot end or interrupt what is half done.
 */
export function transfer(
  target: Inner,
  value: unknown,
  failed: 0 | typeof FAILED = 0,
  resource?: object,
  frame?: unknown,
): unknown {
  const me = current
  if (special & UNDER_WAY) throw underWay(target.name)
  special |= UNDER_WAY | failed
  if (special !== UNDER_WAY) origin = me
  words[INDEX] = target.index
  words[GENERATION] = target.generation
  parcel = value
  current = target
  try {
    if (resource === undefined) native.switch()
    else native.start(resource, frame)
  } catch (error) {
    reset(me)
    throw error
  }

  const status = words[OUTCOME]!
  if (status !== 0) {
    words[OUTCOME] = 0
    // The one that called, or main where a stack ended and the one it named could not run.
    current = me
    origin = undefined
    parcel = undefined
    special &= TRACED
    throw refusal(target.name, status)
  }
  const kind = special
  const arrived = parcel
  parcel = undefined
  if (kind === UNDER_WAY) {
    special = 0
    return arrived
  }
  const from = origin
  origin = undefined
  special = kind & TRACED
  // It may do anything, switch away and come back among it: what arrived is ours by now.
  report((kind & FAILED) !== 0, from)
  if (kind & FAILED) throw arrived
  return arrived
}

/** As `transfer`, for a `target` that has no stack yet. */
export function launch(target: Inner, value: unknown): unknown {
  return transfer(target, value, 0, resourceFor(target), frameFor(target))
}

/** For a new stack: what `transfer` brought it, and, where somebody traces, who did. */
export function pickUp(): { readonly parcel: unknown; readonly origin: Inner | undefined } {
  const arrived = { parcel, origin }
  reset(current)
  return arrived
}

/** For a stack at its end: says who runs next and with what. Native takes it from there when `entry` returns. */
export function handOver(target: Inner, threw: boolean, value: unknown): void {
  special |= UNDER_WAY | (threw ? FAILED : 0)
  if (special !== UNDER_WAY) origin = current
  words[INDEX] = target.index
  words[GENERATION] = target.generation
  parcel = value
  current = target
}

/** Nobody switched and yet `inner` runs; see `here` in life.ts. Forgets what was under way. */
export function reset(inner: Inner): void {
  current = inner
  origin = undefined
  parcel = undefined
  special &= TRACED
}

/** Sets who is told of each switch from now on; undefined for nobody. */
export function setTracer(next: Tracer | undefined): void {
  tracer = next
  special = next === undefined ? special & ~TRACED : special | TRACED
}

/** Whether somebody traces. */
export function isTracing(): boolean {
  return tracer !== undefined
}

/**
 * Tells the tracer, if there is one, that control has come from `from` to the current greenlet. Throws what it throws, and
 * does not call it again then.
 */
export function report(threw: boolean, from: Inner | undefined): void {
  if (tracer === undefined || from === undefined) return
  try {
    tracer(threw, from, current)
  } catch (error) {
    setTracer(undefined)
    throw error
  }
}

/** Who switches here is a debugger, which has stopped us in the middle, or evaluates something there. */
function underWay(name: string): GreenletError {
  return new GreenletError(
    'ERR_GREENLET_FORBIDDEN',
    `greenlet '${name}' cannot be switched to from a debugger that has stopped in the middle of another switch; go on first`,
  )
}

function refusal(name: string, status: number): GreenletError {
  if (status >= FORBIDDEN) {
    return new GreenletError(
      'ERR_GREENLET_FORBIDDEN',
      `greenlet '${name}' cannot be switched to from here, ${WHY_FORBIDDEN[status - FORBIDDEN]}; switch after that has returned`,
    )
  }
  switch (status) {
    case NO_SLOT:
      return new GreenletError(
        'ERR_GREENLET_NO_SLOT',
        `greenlet '${name}' cannot start: all ${runtimeInfo().slots ?? ''} stack slots of this thread are in use; ` +
          'let some greenlets finish, or kill() those that are not needed',
      )
    case LIMIT:
      return new GreenletError(
        'ERR_GREENLET_LIMIT',
        `greenlet '${name}' cannot start: as many greenlets are under way, or as much of their stacks in memory ` +
          `(${runtimeInfo().spilledBytes ?? 0} bytes), as configure() allows; let some finish, or kill() those that are not needed`,
      )
    case NO_MEMORY:
      return new GreenletError(
        'ERR_GREENLET_NO_MEMORY',
        `greenlet '${name}' cannot be switched to: the system gives no more memory; let some greenlets finish first`,
      )
    default:
      return new GreenletError(
        'ERR_GREENLET_GONE',
        `greenlet '${name}' has no stack any more: its thread is being torn down; switch before that`,
      )
  }
}
