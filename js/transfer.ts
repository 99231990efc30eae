/**
 * One switch. Everything a switch does in JavaScript is in `transfer`; the rest of this file is what it refuses and the
 * few variables it works on. The value or the error under way stays here, in `parcel`, while native changes the stacks:
 * the side that arrives picks it up.
 *
 * Nothing here may hold on to the greenlet that leaves: a suspended stack keeps alive what lies on it.
 */

import { frameFor, resourceFor } from './context.ts'
import { GreenletError } from './errors.ts'
import { type Inner, main } from './inner.ts'
import {
  FORBIDDEN,
  mail,
  type Native,
  NO_MEMORY,
  NO_SLOT,
  runtimeInfo,
  STATUS,
  TARGET_GENERATION,
  TARGET_INDEX,
} from './native.ts'

/** The greenlet that runs; outside of a switch, ask `here` in life.ts. */
export let current: Inner = main

/** What is under way between two stacks. */
let parcel: unknown
/** Whether the parcel is an error to throw where it arrives. */
let failed = false
/** Who left, until somebody has arrived: a refused switch has to put `current` back. */
let departing: Inner | undefined
let native: Native

/** Gives this file the thread's connection to native, once. */
export function connect(attached: Native): void {
  native = attached
}

/** The thread's connection to native. There is one once a greenlet was made. */
export function connection(): Native {
  return native
}

/**
 * Leaves this stack for `target`'s, taking `value` along. Returns what the next one to switch here brings, or throws it.
 * `target` must be suspended.
 */
export function transfer(target: Inner, value: unknown): unknown {
  mail[TARGET_INDEX] = target.index
  mail[TARGET_GENERATION] = target.generation
  parcel = value
  departing = current
  current = target
  native.switch()
  return arrive(target)
}

/** As `transfer`, for a `target` that has no stack yet. */
export function launch(target: Inner, value: unknown): unknown {
  const frame = frameFor(target)
  const resource = resourceFor(target)
  parcel = value
  departing = current
  current = target
  native.start(resource, frame)
  return arrive(target)
}

/** Somebody switched here, or nobody switched to `target`. */
function arrive(target: Inner): unknown {
  if (mail[STATUS] !== 0) refuse(target)
  departing = undefined
  const arrived = parcel
  parcel = undefined
  if (failed) {
    failed = false
    throw arrived
  }
  return arrived
}

/** As `transfer`, but `error` is thrown in `target`. */
export function transferError(target: Inner, error: unknown): unknown {
  failed = true
  return transfer(target, error)
}

/** For a new stack: what `transfer` brought it. */
export function pickUp(): unknown {
  const arrived = parcel
  parcel = undefined
  departing = undefined
  return arrived
}

/** For a stack at its end: says who runs next and with what. Native takes it from there when `entry` returns. */
export function handOver(target: Inner, threw: boolean, value: unknown): void {
  mail[TARGET_INDEX] = target.index
  mail[TARGET_GENERATION] = target.generation
  parcel = value
  failed = threw
  current = target
}

/** Nobody switched and yet `inner` runs; see `here` in life.ts. Forgets what was under way. */
export function reset(inner: Inner): void {
  current = inner
  departing = undefined
  parcel = undefined
  failed = false
}

/** Native did not switch: undoes what `transfer` did and says why. */
function refuse(target: Inner): never {
  const status = mail[STATUS]
  mail[STATUS] = 0
  // Where a stack ended and native could not run the one it named, main runs.
  reset(departing ?? main)
  throw refusal(target.name, status)
}

function refusal(name: string, status: number | undefined): GreenletError {
  switch (status) {
    case NO_SLOT:
      return new GreenletError(
        'ERR_GREENLET_NO_SLOT',
        `greenlet '${name}' cannot start: all ${runtimeInfo().slots ?? ''} stack slots of this thread are in use; ` +
          'let some greenlets finish, or kill() those that are not needed',
      )
    case NO_MEMORY:
      return new GreenletError(
        'ERR_GREENLET_NO_MEMORY',
        `greenlet '${name}' cannot be switched to: the system gives no more memory; let some greenlets finish first`,
      )
    case FORBIDDEN:
      return new GreenletError(
        'ERR_GREENLET_FORBIDDEN',
        `greenlet '${name}' cannot be switched to from here: Node.js is in a call that must end on the stack it began on ` +
          '(a snapshot, a hook, a paused debugger or a suspended wasm call); switch after it has returned',
      )
    default:
      return new GreenletError(
        'ERR_GREENLET_GONE',
        `greenlet '${name}' has no stack any more: its thread is being torn down; switch before that`,
      )
  }
}
