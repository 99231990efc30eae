/**
 * The state of this thread: everything that changes while greenlets run and is not a property of one greenlet.
 *
 * All of it is in one object, {@link thread}, and no module exports a variable that changes. Loaders such as
 * `import-in-the-middle` copy the exports of a module once; a copied variable would keep its first value, a copied
 * object is the same object. Collections that only one module uses, such as the lists of the registry, are constants of
 * that module.
 */

import type { AsyncResource } from 'node:async_hooks'
import type { Native, Status } from '../native/contract.ts'
import { type GreenletObject, GreenletRecord, LIVE } from './record.ts'

/** Transfer flag: a domain of `node:domain` was entered; see domains.ts. */
export const DOMAINS = 8

/** Called on the stack where a switch has arrived, before anything else goes on there. */
export type Tracer = (threw: boolean, origin: GreenletRecord, target: GreenletRecord) => void

/** The greenlet of the thread's own stack. Its public object is set where the class is made. */
export const main = new GreenletRecord(0, undefined, null, undefined)
main.state = LIVE
main.label = 'main'

export const thread = {
  /** The connection to native. It is there once a greenlet was made. */
  native: undefined as unknown as Native,
  /** Whether everything that the first greenlet needs is set up; see attach.ts. */
  attached: false,
  /** The serial of the next greenlet. */
  nextSerial: 1,

  // Of a switch; see switch.ts.
  /** The running greenlet. V8 may have ended it: outside of a switch call `finishEnded` in lifecycle.ts first. */
  current: main,
  /** What a switch takes from one stack to the other. */
  payload: undefined as unknown,
  /** The transfer flags, as bits. They are in one word, so that a switch looks at one word. */
  transferFlags: 0,
  /** Where a transfer flag other than "in progress" is set: the greenlet that left, until the switch has arrived. */
  origin: undefined as GreenletRecord | undefined,
  /** Why native refused a switch last. */
  refusal: 0 as Status,
  /** Called at each switch; undefined where nothing is traced. */
  tracer: undefined as Tracer | undefined,
  /** Called at each switch as well, for the package itself; it must not switch or throw. See dump/shared-warning.ts. */
  watcher: undefined as ((origin: GreenletRecord) => void) | undefined,

  /** Where an AsyncResource remembers its frame; undefined where there are no frames. See context.ts. */
  frameKey: undefined as symbol | undefined,
  /** The two halves of the word in which V8 keeps the running stack's frame. Asking native would cost more. */
  frameWord: undefined as Int32Array | undefined,
  /** What they are where there is no frame. */
  noFrameLow: 0,
  noFrameHigh: 0,
  /** A resource without a frame; made when it is first needed. See context.ts. */
  bareResource: undefined as AsyncResource | undefined,

  /** Whether native asks about the reasons of rejected promises; see exits.ts. */
  rejectionsAreFiltered: false,
  /** `node:domain`, once it is loaded; see domains.ts. */
  domains: undefined as object | undefined,

  // Of the registry; see registry.ts.
  /** Whether the registry will be called after the next full collection. */
  collectionIsAwaited: false,
  /** Called with each started greenlet that was collected; see unreachable.ts. Not during a collection. */
  onUnreachable: undefined as ((record: GreenletRecord) => void) | undefined,

  /** Called with each new greenlet, while that is wanted; see dump/creations.ts. */
  onNew: undefined as ((record: GreenletRecord) => void) | undefined,
  /** Called with each greenlet that has ended, while that is wanted; see dump/events.ts. */
  onEnd: undefined as ((record: GreenletRecord) => void) | undefined,
  /** Tells since when greenlets wait, while that is recorded. */
  clock: undefined as (() => number) | undefined,

  /** The realm of which the timers, and the settings of `Error` for text, are used; see engine.ts. */
  realm: globalThis as Pick<typeof globalThis, 'setTimeout' | 'clearTimeout' | 'Error'>,
  /** The call during which the running greenlet must not be left; undefined for a `vm` script. See held.ts. */
  heldBy: undefined as string | undefined,

  /** Whether native has the realm in which it makes captures; see stack/snapshot.ts. */
  captureRealmIsSet: false,
  /** Makes an error of that realm, with the frames of the running stack. */
  capture: undefined as unknown as () => Error,
  /** The greenlet that the hub has resumed, until control is back on main; see hub/block.ts. */
  resumedByHub: undefined as GreenletObject | undefined,
  /** Called with each error that interrupts a blocking call, before it is thrown there; see hub/block.ts. */
  onInterrupt: undefined as ((waiter: GreenletRecord, error: unknown) => void) | undefined,
  /** `wait()`, for module-loads.ts. The room of the hub is above this one and sets it. */
  wait: undefined as ((promise: Promise<void>) => void) | undefined,
}
