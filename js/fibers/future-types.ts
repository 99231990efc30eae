/**
 * The types of Future, as those of node-fibers.
 */

/**
 * A callback of Node.js.
 *
 * @example
 * ```ts
 * import type { Callback } from 'greenlets/fibers/future'
 *
 * const callback: Callback<string> = (error, value) => console.log(error ?? value)
 * ```
 */
export type Callback<T = unknown> = (error?: unknown, value?: T) => void

/**
 * A result that will be there later, or an error.
 *
 * @example
 * ```js
 * const future = new Future()
 * future.return(42)
 * future.get() // 42
 * ```
 */
export interface Future<T = unknown> {
  /** The result, once there is one; throws the error, with the frames of this call above its own. */
  get(): T
  /** Sets the result, and calls what waits for it. */
  return(value?: T): void
  /** Sets the error, which must not be falsy. */
  throw(error: unknown): void
  /** Whether there is a result or an error. */
  isResolved(): boolean
  /** Makes a callback that sets the result or the error. */
  resolver(): Callback
  /** Calls `callback` with the error or the result, at once where it is there already. */
  resolve(callback: Callback<T>): this
  /** Calls `onValue` with the result, or passes the error on to `onError`. */
  resolve(onError: Future, onValue: (value: T) => void): this
  /** Calls `callback` with the result, and never where there is an error. */
  resolveSuccess(callback: (value: T) => void): this
  /** Makes an error an uncaught one. */
  detach(): void
  /** Passes the result or the error on to another future. */
  proxy(future: Future<T>): void
  /** Passes an error on to other futures. */
  proxyErrors(futures: Future | readonly Future[]): this
  /** A promise of the result. */
  promise(): Promise<T>
  /** Suspends the fiber that runs until there is a result, and returns it; throws the error. */
  wait(): T
}

/**
 * A function that takes a callback, as `Future.wrap()` returns it.
 *
 * @example
 * ```ts
 * import { readdir } from 'node:fs'
 * import type { WrappedFunction } from 'greenlets/fibers/future'
 *
 * const read: WrappedFunction = Future.wrap(readdir)
 * ```
 */
export type WrappedFunction = (...args: unknown[]) => Future<unknown>

/**
 * An object of which the methods take callbacks, as `Future.wrap()` returns it: with `nameFuture()` for each method `name()`.
 *
 * @example
 * ```ts
 * import fs from 'node:fs'
 * import type { WrappedObject } from 'greenlets/fibers/future'
 *
 * const wrapped: WrappedObject<typeof fs> = Future.wrap(fs)
 * ```
 */
export type WrappedObject<T> = T & Record<string, WrappedFunction>

/**
 * What makes futures.
 *
 * @example
 * ```js
 * const future = Future.task(() => 42)
 * await future.promise() // 42
 * ```
 */
export interface FutureConstructor {
  new <T = unknown>(): Future<T>
  prototype: Future
  /** Calls the function in a fiber, in the next tick. */
  task<T>(fn: () => T): Future<T>
  /** Calls each of the functions in a fiber of its own. The result is the array of theirs. */
  task(...fns: readonly (() => unknown)[]): Future<unknown[]>
  /**
   * Makes a function that returns a future of a function that takes a callback. With `multi` the result is the array of all
   * arguments after the error.
   */
  wrap(fn: (...args: never[]) => unknown, multi?: boolean, suffix?: string): WrappedFunction
  /** Makes an object with such a method `nameFuture()` for each method `name()`. `suffix` replaces `Future`. */
  wrap<T extends object>(object: T, multi?: boolean, suffix?: string): WrappedObject<T>
  /** Suspends the fiber that runs until all these futures have a result or an error. Throws none of the errors. */
  wait(...futures: readonly (Future | readonly Future[])[]): void
  /** The result or the error of a promise. */
  fromPromise<T>(promise: PromiseLike<T>): Future<T>
}
