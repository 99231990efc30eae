/* Made by scripts/binding.ts from the enums of crates/napi; `make build` writes it. */

// MailFlag: Bits of `FLAGS`, set by native.

/**
 * V8 has ended JavaScript on stacks, for example at the time limit of a `vm` script, and these stacks could not say which stack
 * runs next. `SELF_*` is the running stack. JavaScript clears the bit.
 */
export const ENDED = 1
/** An async hook runs because of a switch that is in progress: the stack's entries are partly on Node's stack of async ids. */
export const IN_HOOK = 2

// MailIndex: The index of each number in the array.

/** In: the id of the stack to run next. -1 as `TARGET_INDEX`, when a stack ends, starts a new stack. */
export const TARGET_INDEX = 0
/** In: see `TARGET_INDEX`. */
export const TARGET_GENERATION = 1
/** Out, written by `switch`: 0, or why it refused, a `Status`. */
export const STATUS = 2
/** Out, written before `entry` is called, and for main by `attach`: the id of the running stack. */
export const SELF_INDEX = 3
/** Out: see `SELF_INDEX`. */
export const SELF_GENERATION = 4
/** Out: garbage collections seen while greenlets had stacks; wraps. */
export const COLLECTIONS = 5
/** Out: bits that JavaScript must look at before a switch, of `MailFlag`. */
export const FLAGS = 6
/**
 * In, counted by JavaScript: calls on the running greenlet's stack during which it must not be left, for example those with a
 * time limit. Native sets a bit above them.
 */
export const HELD = 7
/** In: the async id and the trigger id of a context, two doubles. */
export const ASYNC_IDS = 8
/**
 * In: the id of the stack that a question is about. It has a place of its own, because a debugger may ask in the middle of a
 * switch.
 */
export const SUBJECT_INDEX = 12
/** In: see `SUBJECT_INDEX`. */
export const SUBJECT_GENERATION = 13
/** Out: those of `COLLECTIONS` that have looked at all objects; wraps. The last number of the array. */
export const FULL_COLLECTIONS = 14

// Status: Why a switch did not happen.

/** It did happen. */
export const OK = 0
/** All stack slots are in use. */
export const NO_SLOT = 1
/** The stack has ended. */
export const GONE = 2
/** The system gives no more memory. */
export const NO_MEMORY = 3
/** A limit that the program has set by `configure()` is reached. */
export const LIMIT = 4
/** This and all above: the running stack must not be left. */
export const FORBIDDEN = 5
/** It is inside of a promising wasm call (JSPI). */
export const IN_WASM = 6
/** It is inside of promise jobs that a vm context or an add-on runs. */
export const IN_MICROTASKS = 7
/** A debugger is paused. */
export const PAUSED = 8
/** It is in a callback of the garbage collector. */
export const COLLECTING = 9
/** It is inside of a vm script or an evaluation with a time limit or `breakOnSigint`. */
export const LIMITED = 10
/** It is inside of another isolate, and so is a suspended one. */
export const IN_ISOLATE = 11
/** The running code is on a stack of an add-on's. */
export const OTHER_STACK = 12
