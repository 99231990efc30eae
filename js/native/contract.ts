/**
 * The contract between TypeScript and the native addon: the functions of an attached thread, and the shared array of
 * numbers (the mail). Native knows stacks by numeric ids and nothing else. TypeScript decides which greenlet a stack
 * belongs to, which parent it has and where an exception goes. Values and errors never cross this border.
 *
 * The addon's sources say what the functions are, and what the numbers mean: binding.d.cts and constants.ts are made of
 * them. This file adds what only TypeScript knows.
 */

import type { Status } from './binding.cjs'
import {
  ASYNC_IDS,
  COLLECTING,
  FORBIDDEN,
  FULL_COLLECTIONS,
  IN_ISOLATE,
  IN_MICROTASKS,
  IN_WASM,
  LIMITED,
  OTHER_STACK,
  PAUSED,
  SUBJECT_GENERATION,
  SUBJECT_INDEX,
} from './constants.ts'

export type { Native, Status } from './binding.cjs'
export * from './constants.ts'

/** Of `FLAGS`: another copy of the package has this thread; see copies.ts, which sets it. Native never sees it. */
export const REFUSED = 1 << 30

/** The statuses from `FORBIDDEN` on: the running stack must not be left. */
export type Forbidden = Exclude<Status, Status.Ok | Status.NoSlot | Status.Gone | Status.NoMemory | Status.Limit>

/** Where the running stack is, for each of these statuses. */
export const WHY_FORBIDDEN: Readonly<Record<Forbidden, string>> = {
  [FORBIDDEN]: 'in a call that must end on the stack it began on',
  [IN_WASM]: 'inside of a promising wasm call (JSPI)',
  [IN_MICROTASKS]: 'inside of promise jobs that a vm context or an add-on runs on this greenlet',
  [PAUSED]: 'in a debugger that is paused',
  [COLLECTING]: 'in a callback of the garbage collector',
  [LIMITED]: 'inside of a vm script or an evaluation with a time limit or breakOnSigint',
  [IN_ISOLATE]:
    'inside of another V8 isolate, such as one of isolated-vm, while another stack is suspended inside of one',
  [OTHER_STACK]: "on a stack of an add-on's, such as a coroutine's",
}

/** Shared with native, because reading a typed array costs native nothing and reading an argument costs 15 ns. */
export const mail: Int32Array = new Int32Array(FULL_COLLECTIONS + 1)

/** In `mail`: the async id and the trigger id of a context. */
export const asyncIds: Float64Array = new Float64Array(mail.buffer, ASYNC_IDS * Int32Array.BYTES_PER_ELEMENT, 2)

/** Sets the stack that the next question to native is about. */
export function setSubject(index: number, generation: number): void {
  mail[SUBJECT_INDEX] = index
  mail[SUBJECT_GENERATION] = generation
}
