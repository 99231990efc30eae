/**
 * The record of a greenlet: all that the package knows about it. The public `Greenlet` objects may be subclassed and
 * may have any shape. Records all have one shape, which keeps a switch fast, and users never see them.
 */

import type { AsyncResource } from 'node:async_hooks'

/** Has not been switched to: no stack yet. */
export const UNSTARTED = 0
/** Has a stack: it runs, or is suspended and can be switched to. */
export const LIVE = 1
/** Is suspended in `wait()` or `sleep()`. */
export const WAITING = 2
/** Has ended: what is sent to it goes to its parent. */
export const DEAD = 3

export type RecordState = typeof UNSTARTED | typeof LIVE | typeof WAITING | typeof DEAD

export type Run = (...args: unknown[]) => unknown

/** The public object of a record, as far as the core needs it: a `Greenlet`. */
export interface GreenletObject {
  run?(...args: never[]): unknown
}

/** An async context that greenlets share, as far as a record needs it; see context.ts. */
export interface ContextSharing {
  leave(record: GreenletRecord): void
}

/** One blocking call of `wait()` or `sleep()`. */
export interface BlockingCall {
  /** `undefined` while it is pending. */
  outcome: 'value' | 'error' | undefined
  value: unknown
  /**
   * For `wait()`: the greenlet that waits, while the call is pending. A promise keeps its callbacks for as long as it is
   * pending, so an interrupted call must not hold the greenlet.
   */
  greenlet: GreenletObject | undefined
  /** What ends it, for dumps: a promise, a thenable or a timer. See hub/wait-of.ts. */
  waitsFor: unknown
  /** Since when, in milliseconds of `performance.now()`; 0 where that is not recorded. */
  since: number
  /** How long a `sleep()` is, in milliseconds. */
  readonly ms?: number
  /** The limits of a wait that has some. */
  limits?:
    { readonly timer: object | undefined; readonly ms: number | undefined; readonly hasSignal: boolean } | undefined
}

/** Where a greenlet was made, if that is recorded; see dump/origins.ts. */
export interface Origin {
  /** The greenlet that has made it. */
  readonly id: number
  readonly name: string
  /** The frames of that greenlet then, innermost first. V8 makes them when they are read. */
  readonly frames: Error | undefined
}

/** What is known of a greenlet that was killed and has not ended; see kill.ts. */
export interface Ending {
  /** The GreenletExit of the latest `kill()`. */
  exit: unknown
  /** How often it was thrown again since, because the greenlet started over. */
  again: number
  /** Whether no code waits for its result: `kill()` has returned. */
  isDropped: boolean
  /** Whether the exit has still to be thrown, where the greenlet waits next. */
  isPending: boolean
  /** The stacks of the waits that it was thrown into; see hub/ending.ts. */
  readonly interrupted: unknown[]
}

/**
 * What is known of a greenlet that programs see as another object than a `Greenlet`: a Fiber. That object is in the place of
 * the `Greenlet` in the record.
 */
export interface Guest {
  /** The `Greenlet` of the record, which is made when it is asked for. */
  greenletOf(record: GreenletRecord): GreenletObject
  /** What is thrown into it to end it. It must be a GreenletExit. */
  exit(): Error
  /** Called with the error that ended it after it had become unreachable. */
  failed(error: unknown): void
  /** Called when it has ended. */
  ended(): void
}

/** The promise of `ended`, and the function that fulfils it. */
export interface Ended {
  readonly promise: Promise<void>
  readonly fulfil: () => void
}

export class GreenletRecord {
  /** The id of its stack. -1 says that there is none; it is also how native is told to make one. */
  index = -1
  generation = 0
  state: RecordState = UNSTARTED

  /** Null for main alone. Kept after death: a dead greenlet passes on what it gets. */
  parent: GreenletRecord | null
  /**
   * The greenlets that are in `kill()` of this one. There can be several: a greenlet that is being killed may switch to
   * another one, which kills it too.
   */
  killers: GreenletRecord[] | undefined = undefined
  /** Set from a `kill()` until it has ended, or until it has refused to. */
  ending: Ending | undefined = undefined
  /** Made when it is asked for. */
  ended: Ended | undefined = undefined
  /** The call that it is blocked in, while it waits. */
  blockingCall: BlockingCall | undefined = undefined

  /** A call of `wait()` that is over, for the next one to use. */
  spareCall: BlockingCall | undefined = undefined

  /** Takes the result in place of the parent, also where that is a GreenletExit: for a spawned greenlet. */
  settle: ((this: GreenletRecord, threw: boolean, value: unknown) => void) | undefined = undefined
  /** A spawned greenlet that is awaited: from then on its stack keeps it alive. */
  awaited: GreenletObject | undefined = undefined
  /** The function it was given to run; undefined once it has started. A subclass may have a method instead. */
  run: Run | null | undefined
  /** For a spawned greenlet, what `run` is called with in place of the arguments of the first switch. */
  spawnArguments: unknown[] | undefined = undefined
  /** Undefined where the name is made from the serial, when it is read. */
  label: string | undefined = undefined
  /** Greenlets are numbered in the order in which they are made, from 1. Main is 0. */
  readonly serial: number
  /** Where the registry keeps it; undefined for a started greenlet that was sorted. */
  registryPlace: number | WeakRef<GreenletRecord> | undefined = -1
  /** Set where `greenlet` is not a `Greenlet`. */
  guest: Guest | undefined = undefined
  /** Its public object, while the record keeps that alive; see registry.ts. `objectOf` there reads all three. */
  greenlet: GreenletObject | undefined
  /** Its public object after that. */
  weakGreenlet: WeakRef<GreenletObject> | undefined = undefined
  /** Set while origins are recorded. */
  origin: Origin | undefined = undefined
  /** The place of native's weak reference to its public object; -1 where there is none. See registry.ts. */
  weakPlace = -1
  /** The async context it runs in; null for none, and for main, which runs in the context of each callback. */
  context: AsyncResource | null = null
  /** Set where other code knows the context too. */
  sharedContext: ContextSharing | undefined = undefined

  constructor(
    serial: number,
    greenlet: GreenletObject | undefined,
    parent: GreenletRecord | null,
    run: Run | null | undefined,
  ) {
    this.serial = serial
    this.greenlet = greenlet
    this.parent = parent
    this.run = run
  }

  /** During a `kill()`, the greenlet that gets the result in place of the parent. */
  get killer(): GreenletRecord | undefined {
    return this.killers?.at(-1)
  }

  get name(): string {
    return this.label ?? `greenlet-${this.serial}`
  }
}
