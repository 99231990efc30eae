/**
 * The contract between TypeScript and the native addon: the functions of an attached thread, and the shared array of
 * numbers (the mail). Native knows stacks by numeric ids and nothing else. TypeScript decides which greenlet a stack
 * belongs to, which parent it has and where an exception goes. Values and errors never cross this border.
 *
 * `crates/napi/src` has the other side: the same indices and numbers, and the functions.
 */

/** The functions of this thread's connection to the addon. Arguments and small results are in {@link mail}. */
export interface Native {
  /**
   * Runs the stack in `TARGET_*`. Returns when another stack switches back, or at once with a `STATUS`. The only
   * function that every switch calls.
   */
  switch(): void
  /**
   * As `switch`, but runs a new stack, in an async context: its resource, its frame and, in {@link asyncIds}, its ids.
   */
  start(resource: object, frame: unknown): void
  /** The frame in which the stack in `SUBJECT_*` runs, as it is now. */
  frame(): unknown
  /** The word in which V8 keeps the running stack's frame, to be read only; undefined where it keeps none. */
  frameWord(): ArrayBuffer | undefined
  /** Gives the stack in `SUBJECT_*` another context. Where `index` is given, it shares the frame of that stack. */
  setContext(resource: object, frame: unknown, index?: number, generation?: number): void
  /** Calls `fn` in the frame. */
  underFrame(frame: object | undefined, fn: () => unknown): unknown
  /**
   * A borrowed capture of the suspended stack in `SUBJECT_*`, innermost frame first; undefined where it is not
   * suspended.
   */
  capture(): Error | undefined
  /**
   * The `stack` of an error that `capture` has made: the frames, even in the middle of a `prepareStackTrace`; a string
   * where too little stack is left for V8 to make frames.
   */
  sites(error: Error, getStack: (() => unknown) | undefined): unknown
  /**
   * On Node.js 20, whether V8 or native code reads `stack` of this object itself, which must not be a Proxy. Also true
   * where it is an accessor of JavaScript. False on other versions.
   */
  stackIsNative(error: object): boolean
  /** On Node.js 20, makes `stack` of this object V8's own again, if it is configurable. It must not be a Proxy. */
  restoreStack(error: object): void
  /** The script ids of those of its frames that have one, innermost first. Costs another stack walk. */
  scriptIds(): Int32Array | undefined
  /** A number that changes each time the stack in `SUBJECT_*` is resumed; -1 once it has ended. */
  epoch(): number
  /**
   * The place of the stack in `SUBJECT_*` in the order in which stacks were last resumed, and so suspended; -1 once it
   * has ended.
   */
  lastResumed(): number
  /** The bytes that the stack in `SUBJECT_*` takes while it is suspended; 0 where it is not. */
  stackSize(): number
  /**
   * Whether the stack in `SUBJECT_*` is suspended in a call of the library that was loaded from a file of this name. For
   * debugging: it reads the whole stack. False for main.
   */
  isInside(fileName: string): boolean
  /** Sets the realm in which `capture` makes its errors, by a function of that realm. */
  setCaptureRealm(fn: () => void): void
  /** Must be called after an add-on was loaded. */
  findAddons(): void
  /**
   * From now on Node is not told about a promise that is rejected with a reason for which `keeps` returns true. False
   * where this runtime does not allow it.
   */
  filterRejections(keeps: (reason: unknown) => boolean): boolean
  /** Empties Node's stack of async ids, as Node does after an uncaught exception that was handled. */
  clearAsyncIds(): void
}

/** In `mail`: the id of the stack to run next. -1 as `TARGET_INDEX`, when a stack ends, starts a new stack. */
export const TARGET_INDEX = 0
export const TARGET_GENERATION = 1
/** In `mail`, written by `switch`: 0, or why it refused. */
export const STATUS = 2
/** In `mail`, written before `entry` is called, and for main by `attach`: the id of the running stack. */
export const SELF_INDEX = 3
export const SELF_GENERATION = 4
/** In `mail`: bits that JavaScript must look at before a switch. */
export const FLAGS = 6

/** Values of `FLAGS`, set by native. */
/**
 * V8 has ended JavaScript on stacks, for example at the time limit of a `vm` script, and these stacks could not say
 * which stack runs next. `SELF_*` is the running stack.
 */
export const ENDED = 1
/** An async hook runs because of a switch that is in progress. */
export const IN_HOOK = 2
/** Another copy of the package has this thread; see copies.ts, which sets it. Native never sees it. */
export const REFUSED = 1 << 30

/**
 * In `mail`, counted by JavaScript: calls on the running greenlet's stack during which it must not be left, for example
 * those with a time limit. Native sets a bit above them.
 */
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
  'inside of a vm script or an evaluation with a time limit or breakOnSigint',
  'inside of another V8 isolate, such as one of isolated-vm, while another stack is suspended inside of one',
  "on a stack of an add-on's, such as a coroutine's",
] as const

/** Shared with native, because reading a typed array costs native nothing and reading an argument costs 15 ns. */
export const mail: Int32Array = new Int32Array(14)

/** In `mail`: the async id and the trigger id of a context. */
export const asyncIds: Float64Array = new Float64Array(mail.buffer, 32)

/** Sets the stack that the next question to native is about. */
export function setSubject(index: number, generation: number): void {
  mail[SUBJECT_INDEX] = index
  mail[SUBJECT_GENERATION] = generation
}
