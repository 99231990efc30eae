/**
 * The border to the native addon: its contract, typed, and the one attachment per thread. Native knows stacks by numeric
 * ids and nothing else; who a stack belongs to, whose parent it has and where an exception goes is decided in TypeScript.
 * Values and errors never pass this border.
 */

import binding from './binding.cjs'
import { GreenletError, UnsupportedRuntimeError } from './errors.ts'

/** What {@link runtimeInfo} returns. */
export interface RuntimeInfo {
  /** Whether greenlets work here. */
  readonly supported: boolean
  /** How stacks are switched; absent where they are not. */
  readonly lane?: 'fast'
  /** Why greenlets do not work here; absent where they do. */
  readonly reason?: string
  /** The version of Node.js, without a `v`. */
  readonly node: string
  /** The version of V8. */
  readonly v8: string
  /** How many greenlets of a thread can have a stack at once: those that have started and not ended. */
  readonly slots?: number
  /** How the ends of their stacks are guarded: by the page table alone, or by `mprotect`. */
  readonly guard?: 'lightweight' | 'protected'
}

/** The exports of the addon, or `loadError` alone. */
interface Binding {
  readonly loadError?: string
  runtimeInfo(): Omit<RuntimeInfo, 'node' | 'v8'>
  attach(mail: Int32Array, entry: () => void): Native
}

/** This thread's connection to the addon. Arguments and small results lie in {@link mail}. */
export interface Native {
  /** Runs the stack in `TARGET_*`. Returns when somebody switches back, or at once with a `STATUS`. The one hot call. */
  switch(): void
  /** As `switch`, but runs a new stack, in an async context: its resource, its frame and, in {@link asyncIds}, its ids. */
  start(resource: object, frame: unknown): void
  /** The frame that the stack in `TARGET_*` runs in, as it is now. */
  frame(): unknown
  /** Gives the stack in `TARGET_*` another context; the one that it shares with that of `index`, where that is given. */
  setContext(resource: object, frame: unknown, index?: number, generation?: number): void
  /** Calls `fn` in the frame. */
  underFrame(frame: object, fn: () => unknown): unknown
  /** A borrowed capture of the suspended stack in `TARGET_*`, innermost frame first; undefined where it is not suspended. */
  capture(): Error | undefined
  /** Ids of the scripts of those of its frames that have one, innermost first. Another walk, so only when asked for. */
  scriptIds(): Int32Array | undefined
  /** Changes whenever the stack in `TARGET_*` is resumed; -1 once it has ended. */
  epoch(): number
  /** Gives a function of the realm in which `capture` makes its errors. */
  setCaptureRealm(fn: () => void): void
}

/** In `mail`: the id of the stack that a call is about. -1 as `TARGET_INDEX`, where a stack ends, starts a new one. */
export const TARGET_INDEX = 0
export const TARGET_GENERATION = 1
/** In `mail`, written by `switch`: 0, or why it refused. */
export const STATUS = 2
/** In `mail`, written before `entry` is called, and for main by `attach`: the id of the stack that now runs. */
export const SELF_INDEX = 3
export const SELF_GENERATION = 4
/** In `mail`: what is to be looked at before a switch, as bits. */
export const FLAGS = 6

/** Values of `FLAGS`, set by native. */
/**
 * V8 has ended JavaScript on stacks that never said who runs after them, as at the time limit of a `vm` script. `SELF_*` is
 * who runs.
 */
export const ENDED = 1
/** An async hook runs because of a switch that is under way. */
export const IN_HOOK = 2

/** Values of `STATUS`. */
export const NO_SLOT = 1
export const GONE = 2
export const NO_MEMORY = 3
export const FORBIDDEN = 4

/** Shared with native: reading a typed array costs it nothing, reading an argument 15 ns. */
export const mail = new Int32Array(12)
/** In `mail`: the async id and the trigger id of a context. */
export const asyncIds = new Float64Array(mail.buffer, 32)

const addon = binding as unknown as Binding

/** On globalThis: the URL of the copy of this package that runs this thread's greenlets. */
const OWNER: unique symbol = Symbol.for('greenlets.owner') as never

/**
 * Says whether greenlets work on this runtime, and why not. The first call learns the layout of V8's state, about a
 * millisecond. Never throws.
 */
export function runtimeInfo(): RuntimeInfo {
  const { node, v8 } = process.versions
  try {
    const { loadError } = addon
    return loadError === undefined
      ? { ...addon.runtimeInfo(), node, v8 }
      : { supported: false, reason: loadError, node, v8 }
  } catch (error) {
    return { supported: false, reason: error instanceof Error ? error.message : String(error), node, v8 }
  }
}

/**
 * Connects this thread, at its first greenlet. `entry` is what each new stack runs.
 *
 * @throws UnsupportedRuntimeError with the reason, where greenlets do not work
 * @throws GreenletError `ERR_GREENLET_SECOND_COPY` where another copy of this package was first
 */
export function attach(entry: () => void): Native {
  const shared = globalThis as { [OWNER]?: string }
  const owner = shared[OWNER]
  if (owner !== undefined) throw secondCopy(owner)

  const { supported, reason } = runtimeInfo()
  if (!supported) throw new UnsupportedRuntimeError(reason ?? 'this runtime is not supported')
  try {
    const native = addon.attach(mail, entry)
    Object.defineProperty(shared, OWNER, { value: import.meta.url })
    return native
  } catch (error) {
    // It works here, so somebody was first: one in another realm of this thread, where `globalThis` is another.
    throw secondCopy('a copy in another realm', error)
  }
}

function secondCopy(owner: string, cause?: unknown): GreenletError {
  const own = import.meta.url
  const both = owner === own ? `${own} was loaded twice` : `${owner} was first, ${own} is second`
  return new GreenletError(
    'ERR_GREENLET_SECOND_COPY',
    `two copies of greenlets cannot run in one thread: ${both}; make the dependencies agree on one version (npm dedupe)`,
    cause === undefined ? undefined : { cause },
  )
}
