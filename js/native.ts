/**
 * The border to the native addon: its contract, typed, and the one attachment per thread. Native knows stacks by numeric
 * ids and nothing else; who a stack belongs to, whose parent it has and where an exception goes is decided in TypeScript.
 * Values and errors never pass this border.
 */

import binding from './binding.cjs'
import { checkCount, describe, typeError } from './check.ts'
import { GreenletError, UnsupportedRuntimeError } from './errors.ts'

/** What {@link runtimeInfo} returns. */
export interface RuntimeInfo {
  /** Whether greenlets work here. */
  readonly supported: boolean
  /**
   * How V8's idea of the running stack is switched; absent where it is not. `GREENLETS_LANE=locker` has V8 do it itself, slower,
   * as for `v8::Locker`.
   */
  readonly lane?: 'fast' | 'locker'
  /** Why greenlets do not work here; absent where they do. */
  readonly reason?: string
  /** The version of Node.js, without a `v`. */
  readonly node: string
  /** The version of V8. */
  readonly v8: string
  /**
   * How many stacks of this thread can lie at their place at once, 1 MiB of address space each. Any number of greenlets
   * share them: of those that are suspended, some are copied to the heap meanwhile.
   */
  readonly slots?: number
  /** How many suspended stacks of this thread are copied to the heap now. */
  readonly spilled?: number
  /** Bytes that those copies take. */
  readonly spilledBytes?: number
  /** How many greenlets of this thread have a stack now: those that have started and not ended. */
  readonly live?: number
  /** How the ends of their stacks are guarded: by the page table alone, or by `mprotect`. */
  readonly guard?: 'lightweight' | 'protected'
}

/** The exports of the addon, or `loadError` alone. */
interface Binding {
  readonly loadError?: string
  runtimeInfo(): Omit<RuntimeInfo, 'node' | 'v8'>
  attach(mail: Int32Array, entry: () => void): Native
  /** False where greenlets are under way. */
  configure(slots?: number, maxGreenlets?: number, memory?: number): boolean
}

/** This thread's connection to the addon. Arguments and small results lie in {@link mail}. */
export interface Native {
  /** Runs the stack in `TARGET_*`. Returns when somebody switches back, or at once with a `STATUS`. The one hot call. */
  switch(): void
  /** As `switch`, but runs a new stack, in an async context: its resource, its frame and, in {@link asyncIds}, its ids. */
  start(resource: object, frame: unknown): void
  /** The frame that the stack in `SUBJECT_*` runs in, as it is now. */
  frame(): unknown
  /** Gives the stack in `SUBJECT_*` another context; the one that it shares with that of `index`, where that is given. */
  setContext(resource: object, frame: unknown, index?: number, generation?: number): void
  /** Calls `fn` in the frame. */
  underFrame(frame: object, fn: () => unknown): unknown
  /** A borrowed capture of the suspended stack in `SUBJECT_*`, innermost frame first; undefined where it is not suspended. */
  capture(): Error | undefined
  /** Ids of the scripts of those of its frames that have one, innermost first. Another walk, so only when asked for. */
  scriptIds(): Int32Array | undefined
  /** Changes whenever the stack in `SUBJECT_*` is resumed; -1 once it has ended. */
  epoch(): number
  /** Bytes that the stack in `SUBJECT_*` takes while it is suspended; 0 where it is not. */
  stackSize(): number
  /** Gives a function of the realm in which `capture` makes its errors. */
  setCaptureRealm(fn: () => void): void
  /** Is to be called after an add-on was loaded. */
  findAddons(): void
  /** As `queueMicrotask`, but async hooks see nothing. */
  enqueueMicrotask(fn: () => void): void
}

/** In `mail`: the id of the stack that is to run. -1 as `TARGET_INDEX`, where a stack ends, starts a new one. */
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

/** In `mail`, counted by JavaScript: calls with a time limit on the running greenlet's stack, which must not be left meanwhile. */
export const HELD = 7

/** In `mail`: the id of the stack that a question is about. */
const SUBJECT_INDEX = 12
const SUBJECT_GENERATION = 13

/** Values of `STATUS`. */
export const NO_SLOT = 1
export const GONE = 2
export const NO_MEMORY = 3
export const LIMIT = 4
/** This and all above: the running stack must not be left; {@link WHY_FORBIDDEN} says why. */
export const FORBIDDEN = 5

/** Where the running stack is, for each status from `FORBIDDEN` on. */
export const WHY_FORBIDDEN = [
  'in a call that must end on the stack it began on',
  'inside of a promising wasm call (JSPI)',
  'inside of promise jobs that a vm context or an add-on runs on this greenlet',
  'in a debugger that is paused',
  'in a callback of the garbage collector',
  'inside of a vm script with a time limit or breakOnSigint',
] as const

/** Shared with native: reading a typed array costs it nothing, reading an argument 15 ns. */
export const mail = new Int32Array(14)
/** Says which stack the next question is about. */
export function address(index: number, generation: number): void {
  mail[SUBJECT_INDEX] = index
  mail[SUBJECT_GENERATION] = generation
}

/** In `mail`: the async id and the trigger id of a context. */
export const asyncIds = new Float64Array(mail.buffer, 32)

/** More slots would take more address space than some systems have. */
const MAX_SLOTS = 65_536

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

/** How the stacks of a thread are kept. What is left out, or undefined, is as by default. */
export interface Options {
  /**
   * How many stacks can lie at their place at once, 1 to 65536; each costs 1 MiB of address space. Default: 1024, or as many as
   * the address space allows. With more greenlets than that, a switch to one whose place is taken costs two copies of what
   * is live, 0.2 us for each 2 KB.
   */
  readonly slots?: number | undefined
  /** How many greenlets can be under way (started and not ended) at once. Default: any number. */
  readonly maxGreenlets?: number | undefined
  /**
   * With so many bytes in copies of suspended stacks no greenlet starts. Those that are under way go on, whatever they need.
   * Default: any number.
   */
  readonly memory?: number | undefined
}

/**
 * Says how the stacks of this thread are kept. May be called while no greenlet of the thread is under way.
 *
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
 * @throws GreenletError `ERR_GREENLET_SLOTS_IN_USE` where greenlets are under way, `ERR_GREENLET_NO_MEMORY` where there is no
 *   address space for so many slots; nothing has changed then
 * @throws UnsupportedRuntimeError where greenlets do not work
 */
export function configure(options: Options): void {
  const { slots, maxGreenlets, memory } = checkOptions(options)
  ensureSupported()
  let done
  try {
    done = addon.configure(slots, maxGreenlets, memory)
  } catch (error) {
    throw new GreenletError(
      'ERR_GREENLET_NO_MEMORY',
      `no address space for ${slots ?? 'so many'} stack slots of 1 MiB; ask for fewer`,
      { cause: error },
    )
  }
  if (done) return
  throw new GreenletError(
    'ERR_GREENLET_SLOTS_IN_USE',
    'configure() was called while greenlets of this thread were under way; call it before the first one starts',
  )
}

function checkOptions(options: unknown): Options {
  if (typeof options !== 'object' || options === null) {
    throw typeError(`configure() takes an object, not ${describe(options)}`)
  }
  const { slots, maxGreenlets, memory } = options as Options
  checkCount('slots', slots, MAX_SLOTS)
  checkCount('maxGreenlets', maxGreenlets, Number.MAX_SAFE_INTEGER)
  checkCount('memory', memory, Number.MAX_SAFE_INTEGER)
  return { slots, maxGreenlets, memory }
}

/**
 * Connects this thread, at its first greenlet. `entry` is what each new stack runs. May be called again where a time limit of V8's
 * ended the first call.
 *
 * @throws UnsupportedRuntimeError with the reason, where greenlets do not work
 * @throws GreenletError `ERR_GREENLET_SECOND_COPY` where another copy of this package was first
 */
export function attach(entry: () => void): Native {
  const shared = globalThis as { [OWNER]?: string }
  const owner = shared[OWNER]
  if (owner !== undefined && owner !== import.meta.url) throw secondCopy(owner)

  ensureSupported()
  try {
    const native = addon.attach(mail, entry)
    Object.defineProperty(shared, OWNER, { value: import.meta.url })
    return native
  } catch (error) {
    // It works here, so somebody was first: maybe one in another realm of this thread, where `globalThis` is another.
    throw secondCopy(shared[OWNER] ?? 'a copy in another realm', error)
  }
}

function ensureSupported(): void {
  const { supported, reason } = runtimeInfo()
  if (!supported) throw new UnsupportedRuntimeError(reason ?? 'this runtime is not supported')
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
