/**
 * The types of Fiber, as those of node-fibers.
 */

/**
 * A function on a stack of its own, as in node-fibers. It runs when `run()` is called, until it yields or ends.
 *
 * @example
 * ```js
 * const fiber = Fiber((x) => Fiber.yield(x * 2) + 1)
 * fiber.run(10) // 20
 * fiber.run(4) // 5
 * ```
 */
export interface Fiber {
  /** Whether it has begun and not ended. */
  readonly started: boolean
  /**
   * Starts the function with `value`, or lets the `Fiber.yield()` in which it is suspended return `value`. Returns what it
   * yields next, or what it returns; throws what it throws. After the end it starts anew.
   *
   * @throws Error, TypeError, and RangeError "Out of memory" where a limit of `configure()` is reached
   */
  run<T = unknown>(value?: unknown): NoInfer<T>
  /** As `run()`, but `Fiber.yield()` throws `error`. */
  throwInto<T = unknown>(error?: unknown): NoInfer<T>
  /**
   * Ends it: each `Fiber.yield()` throws an Error "This Fiber is a zombie" until the function ends. Returns what that
   * returns. Does nothing where it has not begun.
   */
  reset<T = unknown>(): NoInfer<T>
}

/**
 * What makes fibers, with or without `new`.
 *
 * @example
 * ```js
 * Fiber.current // undefined
 * Fiber(() => Fiber.current.started).run() // true
 * ```
 */
export interface FiberConstructor {
  new (fn: (...args: never[]) => unknown): Fiber
  (fn: (...args: never[]) => unknown): Fiber
  prototype: Fiber
  /** Suspends the fiber that runs. `run()` returns `value` to its caller. Returns what the next `run()` brings. */
  yield<T = unknown>(value?: unknown): NoInfer<T>
  /** The fiber that runs; undefined on main and in other greenlets. */
  readonly current: Fiber | undefined
  /** How many stacks node-fibers would keep for later fibers. Here it only matters for `fibersCreated`. */
  poolSize: number
  /** How many stacks node-fibers would have made until now. */
  readonly fibersCreated: number
}
