/**
 * The errors of the package. Each has a stable `code`; messages may change. Errors about an argument are plain
 * TypeErrors and RangeErrors that carry a `code` too, so `catch (e) { if (e.code === ...) }` works for all of them.
 */

import { isInstance } from './values.ts'

/**
 * The codes of all errors that this package throws. They are part of the API.
 *
 * @example
 * ```js
 * import type { GreenletErrorCode } from 'greenlets'
 *
 * const temporary: ReadonlySet<GreenletErrorCode> = new Set(['ERR_GREENLET_LIMIT', 'ERR_GREENLET_NO_MEMORY'])
 * ```
 */
export type GreenletErrorCode =
  /** A {@link GreenletExit}. */
  | 'ERR_GREENLET_EXIT'
  /** TypeError or RangeError: an argument or option has the wrong type or name, or is out of range. */
  | 'ERR_GREENLET_INVALID_ARG'
  /** TypeError: a greenlet has to start but has no `run` function. */
  | 'ERR_GREENLET_NO_RUN'
  /** `run` was set after the start. */
  | 'ERR_GREENLET_STARTED'
  /** The new parent descends from the greenlet itself. */
  | 'ERR_GREENLET_PARENT_CYCLE'
  /** Main cannot be killed and cannot have a parent. */
  | 'ERR_GREENLET_MAIN'
  /** The greenlet is in `wait()` or `sleep()`. Only the hub, `throw()` or `kill()` can resume it. */
  | 'ERR_GREENLET_WAITING'
  /** `wait()` or `sleep()` was called on main. It would stop the event loop that has to end the wait. */
  | 'ERR_GREENLET_WAIT_ON_MAIN'
  /** What `spawn()` gave was awaited, and a {@link GreenletExit} ended the greenlet. The exit is the `cause`. */
  | 'ERR_GREENLET_KILLED'
  /** A {@link TimeoutError}: a wait took longer than its `timeout`. */
  | 'ERR_GREENLET_TIMEOUT'
  /** A greenlet would wait for its own end. */
  | 'ERR_GREENLET_WAIT_ON_SELF'
  /** The greenlet caught the exit of a `kill()` and switched away or started over. It is still alive. */
  | 'ERR_GREENLET_KILL_REFUSED'
  /** All stack slots are in use, and stacks do not share slots (`GREENLETS_SPILL=never`, or the locker lane). */
  | 'ERR_GREENLET_NO_SLOT'
  /** A limit of `configure()` is reached: the number of live greenlets, or the bytes of their suspended stacks. */
  | 'ERR_GREENLET_LIMIT'
  /** `configure()` was called while greenlets were live. */
  | 'ERR_GREENLET_SLOTS_IN_USE'
  /** The operating system gives no more memory. */
  | 'ERR_GREENLET_NO_MEMORY'
  /** The greenlet's stack is gone: its environment is being torn down. */
  | 'ERR_GREENLET_GONE'
  /** V8 ended the greenlet, for example at the time limit of a `vm` script. */
  | 'ERR_GREENLET_ENDED'
  /** The running stack must not be left now. The message says why. */
  | 'ERR_GREENLET_FORBIDDEN'
  /** A call of another greenlet has not returned and uses what this call would close or run again. */
  | 'ERR_GREENLET_IN_USE'
  /** Another copy of this package already runs greenlets in this thread. */
  | 'ERR_GREENLET_SECOND_COPY'
  /** A {@link StaleFrameError}. */
  | 'ERR_GREENLET_STALE_FRAME'
  /** The variables of a suspended greenlet cannot be read: a debugger is attached, or this runtime has none. */
  | 'ERR_GREENLET_NO_LOCALS'
  /** A queue or server is closed, or a group has ended. */
  | 'ERR_GREENLET_CLOSED'
  /** A greenlet would wait for a lock that it has itself. */
  | 'ERR_GREENLET_DEADLOCK'
  /** A lock or a permit was released that is not held, or something needs a lock that is not held. */
  | 'ERR_GREENLET_NOT_HELD'
  /** A test waited until a greenlet is parked, and the greenlet has ended. */
  | 'ERR_GREENLET_NOT_PARKED'
  /** A test has left greenlets suspended. */
  | 'ERR_GREENLET_LEFT'
  /** An {@link UnsupportedRuntimeError}. */
  | 'ERR_GREENLET_UNSUPPORTED_RUNTIME'

/**
 * The package cannot do what it was asked to do. The message names the greenlet and says what to do instead.
 *
 * @example
 * ```js
 * try {
 *   wait(Promise.resolve())
 * } catch (error) {
 *   console.log(error instanceof GreenletError, error.code) // true ERR_GREENLET_WAIT_ON_MAIN
 * }
 * ```
 */
export class GreenletError extends Error {
  /** Stable, for programs. */
  readonly code: GreenletErrorCode

  constructor(code: GreenletErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/**
 * A frame or `gr_stack` was read after its greenlet had been resumed or had ended. `detach()` makes copies that last.
 *
 * @example
 * ```js
 * const g = new Greenlet(() => Greenlet.main.switch())
 * g.switch()
 * const frame = g.gr_frame
 * g.switch()
 * try {
 *   frame.lineNumber
 * } catch (error) {
 *   console.log(error instanceof StaleFrameError, error.code) // true ERR_GREENLET_STALE_FRAME
 * }
 * ```
 */
export class StaleFrameError extends GreenletError {
  /** Stable, for programs. */
  declare readonly code: 'ERR_GREENLET_STALE_FRAME'

  constructor(message: string) {
    super('ERR_GREENLET_STALE_FRAME', message)
  }
}

/**
 * A wait took longer than the `timeout` of its options. The greenlet goes on; what it waited for goes on too, unless the
 * program stops it. The message names the greenlet, the time, and what was waited for.
 *
 * @example
 * ```js
 * await spawn(() => {
 *   try {
 *     wait(new Promise(() => {}), { timeout: 5 })
 *   } catch (error) {
 *     console.log(error instanceof TimeoutError, error.code) // true ERR_GREENLET_TIMEOUT
 *   }
 * })
 * ```
 */
export class TimeoutError extends GreenletError {
  /** Stable, for programs. */
  declare readonly code: 'ERR_GREENLET_TIMEOUT'

  constructor(message: string, options?: ErrorOptions) {
    super('ERR_GREENLET_TIMEOUT', message, options)
  }
}

/**
 * The first greenlet was made on a runtime that greenlets do not support. `runtimeInfo().reason` is the same text.
 *
 * @example
 * ```js
 * try {
 *   new Greenlet(() => {})
 * } catch (error) {
 *   if (!(error instanceof UnsupportedRuntimeError)) throw error
 *   console.error(error.message) // what was found, and what to do
 * }
 * ```
 */
export class UnsupportedRuntimeError extends GreenletError {
  /** Stable, for programs. */
  declare readonly code: 'ERR_GREENLET_UNSUPPORTED_RUNTIME'

  constructor(reason: string, options?: ErrorOptions) {
    super('ERR_GREENLET_UNSUPPORTED_RUNTIME', reason, options)
  }
}

/** Set by the core: whether the running stack is a greenlet's. Without greenlets only main runs. */
export const exits = { madeInGreenlet: (): boolean => false }

/** The two functions that know the private field of an exit. The class sets them. */
const quietness = {} as { read(value: unknown): boolean; write(value: unknown, quiet: boolean): void }

/**
 * Thrown into a greenlet to end it: by `kill()` and by `throw()` without an argument. Where it leaves `run` it is not
 * an error: the parent gets it as a value. It is not a GreenletError, so `catch (e) { if (e instanceof GreenletError)
 * }` does not swallow it.
 *
 * @example
 * ```js
 * const g = new Greenlet(() => {
 *   try {
 *     Greenlet.main.switch()
 *   } catch (error) {
 *     console.log(error instanceof GreenletExit) // true
 *     throw error // not kept: the greenlet is to end
 *   }
 * })
 * g.switch()
 * g.kill()
 * ```
 */
export class GreenletExit extends Error {
  /** Stable, for programs. */
  readonly code = 'ERR_GREENLET_EXIT'
  /** Whether it belongs to a greenlet, and not to main. */
  #quiet = exits.madeInGreenlet()

  static {
    quietness.read = (value) => typeof value === 'object' && value !== null && #quiet in value && value.#quiet
    quietness.write = (value, quiet) => {
      if (typeof value === 'object' && value !== null && #quiet in value) value.#quiet = quiet
    }
  }

  constructor(message = 'the greenlet was told to end', options?: ErrorOptions) {
    super(message, options)
  }
}

for (const kind of [GreenletError, StaleFrameError, TimeoutError, UnsupportedRuntimeError, GreenletExit]) {
  // On the prototype and not enumerable, as for the built-in errors.
  Object.defineProperty(kind.prototype, 'name', { value: kind.name, writable: true, configurable: true })
}

/** Whether `value` ends a greenlet without an error. Never throws. */
export function isExit(value: unknown): value is GreenletExit {
  return isInstance(value, GreenletExit)
}

/**
 * Whether `value` is a GreenletExit that Node must not report where it catches it: one that was thrown into a greenlet, or
 * made in one. Calls no code of the program, also where `value` is a Proxy.
 */
export function isQuiet(value: unknown): boolean {
  return quietness.read(value)
}

/** For a GreenletExit on its way to a greenlet, or to main, where it is an error like others. Ignores other values. */
export function setQuiet(value: unknown, quiet: boolean): void {
  quietness.write(value, quiet)
}

/**
 * Makes an error of which the stack has no frames: where they would all be of the package or of a timer, and another
 * stack tells what the program has to know. Capturing frames costs more than the rest of the error.
 */
export function withoutFrames<E extends Error>(make: () => E): E {
  const limit = Object.getOwnPropertyDescriptor(Error, 'stackTraceLimit')
  // A setter of the program must not be called.
  if (limit?.writable !== true) return make()
  Error.stackTraceLimit = 0
  try {
    return make()
  } finally {
    Error.stackTraceLimit = limit.value as number
  }
}

/** Makes a TypeError with a code. */
export function typeError(message: string, code: GreenletErrorCode = 'ERR_GREENLET_INVALID_ARG'): TypeError {
  return Object.assign(new TypeError(message), { code })
}

/** Makes a RangeError with a code. */
export function rangeError(message: string): RangeError {
  return Object.assign(new RangeError(message), { code: 'ERR_GREENLET_INVALID_ARG' })
}
