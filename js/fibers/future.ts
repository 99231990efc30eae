/**
 * `greenlets/fibers/future`: the Future of node-fibers 5, a result that a fiber can wait for. Loading it gives all functions a
 * method `future()`.
 *
 * It uses only the API of `Fiber`. The methods return and throw what those of node-fibers do.
 */

import { fibers } from '../engine.ts'
import { Fiber, type Fiber as FiberType } from './index.ts'
import type { Callback, Future as FutureType, FutureConstructor } from './future-types.ts'

export type {
  Callback,
  Future as FutureInstance,
  FutureConstructor,
  WrappedFunction,
  WrappedObject,
} from './future-types.ts'
export type Future<T = unknown> = FutureType<T>

type AnyFunction = (...args: unknown[]) => unknown

/** What waits for a future: `callback(error, value)`, or a future for the error and a function for the value. */
type Waiting =
  | readonly [callback: Callback, onValue: undefined | null | false]
  | readonly [onError: FutureClass, onValue: (value: unknown) => void]

/** The methods of futures. It has no private members: packages make futures by calling `Future` on objects of their own. */
class FutureClass {
  declare value?: unknown
  declare error?: unknown
  declare resolved?: boolean
  declare callbacks?: Waiting[]
  /** What the wrapped function has returned; see `Future.wrap`. */
  declare _?: unknown

  get(): unknown {
    if (!this.resolved) throw new Error('Future must resolve before value is ready')
    if (!this.error) return this.value
    tryToJoinStacks(this.error, this.get)
    throw this.error // node-do-not-add-exception-line
  }

  return(value?: unknown): void {
    if (this.resolved) throw new Error('Future resolved more than once')
    this.value = value
    settle(this, ([callback, onValue]) => (onValue ? onValue(value) : callback(undefined, value)))
  }

  throw(error: unknown): void {
    if (this.resolved) throw new Error('Future resolved more than once')
    if (!error) throw new Error('Must throw non-empty error')
    this.error = error
    settle(this, ([first, onValue]) => (onValue ? first.throw(error) : first(error)))
  }

  isResolved(): boolean {
    return this.resolved === true
  }

  resolver(): Callback {
    return (error, value) => {
      if (error) this.throw(error)
      else this.return(value)
    }
  }

  resolve(first: Callback | FutureClass, onValue?: (value: unknown) => void): this {
    const waiting = [first, onValue] as unknown as Waiting
    if (!this.resolved) (this.callbacks ??= []).push(waiting)
    else if (!waiting[1]) waiting[0](this.error, this.value)
    else if (this.error) waiting[0].throw(this.error)
    else waiting[1](this.value)
    return this
  }

  resolveSuccess(callback: (value: unknown) => void): this {
    return this.resolve((error, value) => {
      if (!error) callback(value)
    })
  }

  detach(): void {
    this.resolve((error) => {
      if (error) throw error // node-do-not-add-exception-line
    })
  }

  proxy(future: FutureClass): void {
    this.resolve((error, value) => {
      if (error) future.throw(error)
      else future.return(value)
    })
  }

  proxyErrors(futures: FutureClass | readonly FutureClass[]): this {
    return this.resolve((error) => {
      if (!error) return
      for (const future of Array.isArray(futures) ? (futures as FutureClass[]) : [futures as FutureClass]) {
        future.throw(error)
      }
    })
  }

  promise(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.resolve((error, value) => {
        if (error) reject(error as Error)
        else resolve(value)
      })
    })
  }

  wait(): unknown {
    if (!this.isResolved()) waitForAll(this)
    return this.get()
  }
}

/** Calls what waits. The errors go to the event loop. */
function settle(future: FutureClass, call: (waiting: Waiting) => void): void {
  future.resolved = true
  const { callbacks } = future
  delete future.callbacks
  for (const waiting of callbacks ?? []) {
    try {
      call(waiting)
    } catch (error) {
      process.nextTick(throwLater, error)
    }
  }
}

/** The future of a function that will be called in a fiber of its own, in the next tick. */
class FiberFuture extends FutureClass {
  readonly #call: () => unknown
  #started = false

  constructor(call: () => unknown) {
    super()
    this.#call = call
    process.nextTick(() => {
      if (!this.#started) Fiber(() => this.#run()).run()
    })
  }

  /** For a fiber that waits for it: takes over the call. Returns undefined where it has begun already. */
  static take(future: FutureClass): (() => void) | undefined {
    if (!(#started in future) || future.#started) return undefined
    future.#started = true
    return () => future.#run()
  }

  #run(): void {
    this.#started = true
    let value: unknown
    try {
      value = this.#call()
    } catch (error) {
      this.throw(error)
      return
    }
    this.return(value)
  }
}

/** `Future.wait()`: returns when all futures are resolved. Their errors are thrown by `get()` alone. */
function waitForAll(...args: unknown[]): void {
  const futures = args.flat().filter((future) => {
    if (!(future instanceof Future)) throw new Error(`${String(future)} is not a future`)
    return !future.isResolved()
  }) as FutureClass[]
  const fiber: FiberType | undefined = Fiber.current
  if (fiber === undefined) throw new Error("Can't wait without a fiber")
  let pending = futures.length
  const resolved = (): void => {
    if (--pending === 0) fiber.run()
  }
  // One that has not begun runs in the fiber that waits.
  let own: (() => void) | undefined
  for (const future of futures) {
    const taken: typeof own = own === undefined ? FiberFuture.take(future) : undefined
    if (taken === undefined) future.resolve(resolved)
    else own = taken
  }
  if (own !== undefined) {
    own()
    pending--
  }
  if (pending > 0) Fiber.yield()
}

/** `Future.task()` */
function task(...fns: AnyFunction[]): FutureClass {
  if (fns.length === 1) return futureOf(fns[0]!, undefined, [])
  const future = makeFuture()
  const values = Array.from<unknown>({ length: fns.length })
  let pending = fns.length
  let failure: unknown
  for (const [i, fn] of fns.entries()) {
    futureOf(fn, undefined, []).resolve((error, value) => {
      if (error) failure = error
      values[i] = value
      if (--pending > 0) return
      if (failure) future.throw(failure)
      else future.return(values)
    })
  }
  return future
}

function futureOf(fn: AnyFunction, receiver: unknown, args: unknown[]): FutureClass {
  return new FiberFuture(() => Reflect.apply(fn, receiver, args))
}

/** `Future.wrap()` */
function wrap(wrapped: unknown, multi?: boolean, suffix = 'Future', stop?: boolean): unknown {
  if (typeof wrapped === 'object' && wrapped !== null) {
    const result = Object.create(wrapped) as Record<string, unknown>
    for (const key in wrapped) {
      if (typeof result[key] === 'function') result[key + suffix] = wrap(result[key], multi, suffix, stop)
    }
    return result
  }
  if (typeof wrapped !== 'function') return undefined
  const fn = function (this: unknown, ...args: unknown[]): FutureClass {
    const future = makeFuture()
    const resolve = future.resolver()
    const callback = multi ? (error: unknown, ...values: unknown[]) => resolve(error, values) : resolve
    future._ = Reflect.apply(wrapped, this, [...args, callback])
    return future
  }
  if (!stop) {
    // Functions such as that of the module `request` have methods.
    const methods = Object.create(wrapped) as Record<string, unknown>
    for (const key of Object.keys(wrapped)) {
      if (typeof methods[key] === 'function') methods[key + suffix] = wrap(methods[key], multi, suffix, true)
    }
    Object.setPrototypeOf(fn, methods)
  }
  return fn
}

/** `Future.fromPromise()` */
function fromPromise(promise: PromiseLike<unknown>): FutureClass {
  const future = makeFuture()
  promise.then(
    (value) => future.return(value),
    (error: unknown) => future.throw(error),
  )
  return future
}

/** As `joinStacks`, but leaves the error as it is where code of the program, which makes or gives the text of a stack, throws. */
function tryToJoinStacks(error: unknown, caller: AnyFunction): void {
  try {
    joinStacks(error, caller)
  } catch {
    // The error itself is thrown next.
  }
}

/** Puts the frames of the waiting fiber above those of the error. `caller` and its callees are left out. */
function joinStacks(error: unknown, caller: AnyFunction): void {
  if (typeof error !== 'object' || error === null || !Object.isExtensible(error)) return
  const own = Object.getOwnPropertyDescriptor(error, 'stack')
  if (own?.configurable !== true) return
  const known = Object.getOwnPropertyDescriptor(error, 'futureStack')?.value as unknown
  const original = known ?? (error as Error).stack
  if (typeof original !== 'string') return
  const local = {} as Error
  Error.captureStackTrace(local, caller)
  const [, ...waiting] = split(String(local.stack))
  if (known === undefined) Object.defineProperty(error, 'futureStack', { value: original, configurable: true })
  const [head, ...frames] = split(original)
  const stack = [head, ...waiting, '    - - - - -', ...frames].join('\n')
  Object.defineProperty(error, 'stack', { value: stack, configurable: true, writable: true, enumerable: false })
}

/** The message of a stack, which may have several lines, and the lines of its frames. */
function split(stack: string): string[] {
  const lines = stack.split('\n')
  const start = lines.findIndex((line) => /^\s+at /.test(line))
  return start === -1 ? [stack] : [lines.slice(0, start).join('\n'), ...lines.slice(start)]
}

function throwLater(error: unknown): never {
  throw error // node-do-not-add-exception-line
}

function makeFuture(): FutureClass {
  return new (Future as unknown as typeof FutureClass)()
}

/** A function, because packages call it to inherit from it. */
const OwnFuture = function Future() {} as unknown as FutureConstructor
OwnFuture.prototype = FutureClass.prototype as never
Object.defineProperty(OwnFuture.prototype, 'constructor', { value: OwnFuture, writable: true, configurable: true })
Object.assign(OwnFuture, { task, wrap, wait: waitForAll, fromPromise })

/**
 * Makes a result that will be there later: `wait()` suspends the fiber that calls it until then. With its functions it is
 * described in {@link FutureConstructor}.
 *
 * @example
 * ```js
 * const future = new Future()
 * setTimeout(() => future.return('done'), 1)
 * await Future.task(() => future.wait()).promise() // 'done'
 * ```
 */
export const Future: FutureConstructor = (fibers.Future ??= OwnFuture) as FutureConstructor

export { Future as default }

if (Future === OwnFuture) {
  const method = function future(this: AnyFunction, detach?: boolean): AnyFunction {
    // oxlint-disable-next-line no-this-alias, unicorn/no-this-assignment -- the function below has a `this` of its own
    const fn = this
    const result = function (this: unknown, ...args: unknown[]): FutureClass {
      const future = futureOf(fn, this, args)
      if (detach) future.detach()
      return future
    }
    result.toString = () => `<<Future ${String(fn)}.future()>>`
    return result
  }
  Object.defineProperty(Function.prototype, 'future', { value: method, writable: true, configurable: true })
}
