/**
 * `spawn()`: greenlets that the event loop starts and that can be awaited. It is how code outside of greenlets starts
 * one.
 *
 * What it gives is a greenlet and a promise in one object: V8 makes a promise, and the constructor of `Greenlet` adds its
 * private fields. The object inherits from `Promise`, so its class gets the members of `Greenlet` as its own.
 */

import type { AsyncResource } from 'node:async_hooks'
import { isPromise } from 'node:util/types'
import { GreenletError, GreenletExit, isExit, typeError, withoutFrames } from '../common/errors.ts'
import { checkOptions } from '../common/options.ts'
import { addOwnCode, type Mark } from '../common/own-code.ts'
import { Same } from '../common/same.ts'
import { immediate, nextTick } from '../common/turns.ts'
import { describe, NativePromise } from '../common/values.ts'
import { quoted } from '../common/text.ts'
import { endWait } from '../core/interrupt.ts'
import { killAtNextWait, killRecord } from '../core/kill.ts'
import { deliver, endUnstarted, finishEnded } from '../core/lifecycle.ts'
import { DEAD, type GreenletRecord, UNSTARTED } from '../core/record.ts'
import { objectOf } from '../core/registry.ts'
import { main, thread } from '../core/thread.ts'
import { Greenlet, type GreenletOptions, makeGreenlet, recordOf } from '../greenlet/greenlet.ts'
import { currentWaiter } from './block.ts'
import { checkLimits, checkSignal, type WaitLimits } from './limits.ts'
import { wait, waitWithin } from './wait.ts'

/** Where this file's own code begins; see common/own-code.ts. */
function first<T>(probe: () => T): T {
  return probe()
}

/** The first mark of the class, which some bundlers move away from the functions. */
const marks: { first?: Mark } = {}

type Settle = (value: unknown) => void
type Spawned = SpawnedGreenlet<unknown>

/** The functions that settle the promise that is being made. They are variables here, because closures take memory. */
let resolveLatest: Settle | undefined
let rejectLatest: Settle | undefined

function keepSettlers(resolve: Settle, reject: Settle): void {
  resolveLatest = resolve
  rejectLatest = reject
}

/** Not the method that the program may have replaced since. */
const { then } = NativePromise.prototype

/** The functions that use private fields. The class sets them, and nothing changes them later. */
const settlers = {} as {
  /**
   * Returns the function that settles the promise; undefined where the object is not a promise. The object drops both
   * functions, because a program may keep it for long.
   */
  take(greenlet: object, threw: boolean): Settle | undefined
}

const PromiseOfGreenlet = class extends NativePromise<unknown> {} as unknown as new <T>(
  executor: typeof keepSettlers,
) => Greenlet & Promise<T>

for (const key of Reflect.ownKeys(Greenlet.prototype)) {
  if (key === 'constructor') continue
  Object.defineProperty(PromiseOfGreenlet.prototype, key, Object.getOwnPropertyDescriptor(Greenlet.prototype, key)!)
}

/**
 * What {@link spawn} gives: a greenlet that is also the promise of its result. `await` gives the result of its function,
 * or throws the error of its function. If a `GreenletExit` ended it, for example by `kill()`, there is no result, and the
 * promise is rejected with a `GreenletError` of the code `ERR_GREENLET_KILLED`, of which the `cause` is the
 * `GreenletExit`. That alone is never an unhandled rejection; an error of the function is, if no code awaits it.
 *
 * It is `instanceof Promise` and `instanceof Greenlet`, and has the members of both: `then`, `catch` and `finally`, which
 * return plain promises, and `kill`, `name`, `gr_stack` and so on.
 *
 * @example
 * ```js
 * const g = spawn(() => wait(readFile('package.json', 'utf8')).length > 0)
 * g.state // 'unstarted'
 * await g // true
 * g.state // 'dead'
 * ```
 */
export class SpawnedGreenlet<T> extends PromiseOfGreenlet<T> {
  static {
    marks.first = (probe) => probe()
    settlers.take = (greenlet, threw) => {
      if (!(#resolve in greenlet)) return undefined
      const taken = threw ? greenlet.#reject : greenlet.#resolve
      greenlet.#resolve = greenlet.#reject = undefined
      return taken
    }
  }

  /** So that `then`, `catch` and `finally` make plain promises. Not a getter, which takes time. */
  static readonly [Symbol.species] = NativePromise

  // The object has them and not its record: the stack would keep the object alive.
  #resolve = resolveLatest
  #reject = rejectLatest

  /** @internal */
  constructor(fn: (...args: never[]) => unknown, args: unknown[], options?: GreenletOptions) {
    super(keepSettlers)
    // They lead to this object.
    resolveLatest = rejectLatest = undefined
    makeGreenlet(this, fn, options)
    const record = recordOf(this)
    record.spawnArguments = args
    record.settle = settle
  }

  /**
   * As `then()` of every promise. Returns a plain promise.
   *
   * @example
   * ```js
   * await spawn(() => 6 * 7).then((answer) => answer + 1) // 43
   * ```
   */
  // oxlint-disable-next-line no-thenable -- it is a promise
  override then<A = T, B = never>(
    onResult?: ((result: T) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    // V8 may have ended this greenlet; then the promise is rejected now.
    finishEnded()
    const record = recordOf(this)
    if (record.state !== DEAD) record.awaited = this
    return super.then(onResult, onError)
  }

  /**
   * A plain promise of the same result, for code that must not see a greenlet. It is always the same one. As the
   * greenlet itself, it is never an unhandled rejection because the greenlet was killed.
   *
   * @example
   * ```js
   * spawn(() => 6 * 7).promise.constructor === Promise // true
   * ```
   */
  get promise(): Promise<T> {
    // Throws where this is another object.
    recordOf(this)
    return Plain.of(this)
  }

  /**
   * Blocks the calling greenlet until this one has ended. As `wait(greenlet)`: returns its result, or throws its error.
   *
   * @example
   * ```js
   * const g = spawn(() => 6 * 7)
   * await spawn(() => g.join() + 1) // 43
   * ```
   *
   * @param limits a `timeout` in milliseconds and a `signal`, after which it throws; the greenlet goes on. See
   *   {@link WaitLimits}.
   * @throws any error of its function
   * @throws TimeoutError `ERR_GREENLET_TIMEOUT`, and the `reason` of `signal`
   * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG` for wrong limits
   * @throws GreenletError `ERR_GREENLET_KILLED` if a `GreenletExit` ended it; `ERR_GREENLET_WAIT_ON_MAIN`,
   *   `ERR_GREENLET_WAIT_ON_SELF`
   */
  join(limits?: WaitLimits): Awaited<T> {
    if (limits === undefined) return wait<PromiseLike<T>>(this)
    const waiter = currentWaiter('join()')
    const checked = checkLimits<WaitLimits>('join()', limits, ['signal', 'timeout'])
    // oxlint-disable-next-line unbound-method -- only for the place of its frame
    return waitWithin(this, checked, 'join()', this.join, waiter) as Awaited<T>
  }

  static {
    addOwnCode(marks.first!, (probe) => probe())
  }
}

/** The plain promise of a spawned greenlet, which has this private field once it was asked for. */
class Plain extends Same {
  readonly #promise: Promise<unknown>

  private constructor(greenlet: Spawned) {
    super(greenlet)
    this.#promise = new NativePromise((resolve, reject) => {
      const fail = (error: unknown): void => {
        if (Killed.has(greenlet)) handleRejection(this.#promise)
        reject(error)
      }
      void greenlet.then(resolve, fail)
    })
  }

  static of<T>(greenlet: SpawnedGreenlet<T>): Promise<T> {
    const plain = #promise in greenlet ? (greenlet as unknown as Plain) : new Plain(greenlet)
    return plain.#promise as Promise<T>
  }
}

/** A spawned greenlet that a GreenletExit has ended has this private field. */
class Killed extends Same {
  readonly #exit = true

  /** Must be called before the promise is rejected. */
  static note(greenlet: Spawned): void {
    if (#exit in greenlet) return
    new Killed(greenlet)
    handleRejection(greenlet)
  }

  static has(greenlet: object): boolean {
    return #exit in greenlet && greenlet.#exit
  }
}

/**
 * The options of `spawn.with(options, fn, ...args)`. Each may be left out, or undefined.
 *
 * @example
 * ```js
 * const options = { name: 'worker', signal: AbortSignal.abort(), context: null }
 * const g = spawn.with(options, () => {})
 * g.dead // true
 * ```
 */
export interface SpawnOptions {
  /** For messages and stack dumps. Default: the name of `fn`, or `greenlet-N`. */
  readonly name?: string | undefined
  /** The async context it runs in, as that of {@link GreenletOptions}. Default: inherited from the caller. */
  readonly context?: AsyncResource | null | undefined
  /**
   * When it is aborted, the greenlet is killed: in the next turn, on main, so the code that aborts it goes on. A greenlet
   * that runs, as one that aborts its own signal, is ending from then on and is killed where it waits next, once: a wait
   * with that signal throws a `GreenletExit` then, and not the reason. One that has not started never starts. The
   * greenlet's promise is rejected with `ERR_GREENLET_KILLED`.
   */
  readonly signal?: AbortSignal | undefined
}

/**
 * The type of {@link spawn}.
 *
 * @example
 * ```js
 * const start = spawn
 * await start((a, b) => a + b, 1, 2) // 3
 * await start.with({ name: 'sum' }, (a, b) => a + b, 1, 2) // 3
 * ```
 */
export interface Spawn {
  /**
   * Calls `fn` in a new greenlet, soon: the event loop starts it after the code that runs now. The greenlet's parent is
   * main. Its result and its error go to the promise that it is, and not to its parent; see {@link SpawnedGreenlet}.
   *
   * @example
   * ```js
   * const price = async (fruit) => fruit.length
   * function total(a, b) {
   *   return wait(price(a)) + wait(price(b)) // waits, and main goes on
   * }
   * await spawn(total, 'apple', 'pear') // 9
   * ```
   *
   * @param fn may be async; its promise is waited for then
   * @param args what `fn` is called with
   * @throws TypeError `ERR_GREENLET_INVALID_ARG` if `fn` is not a function
   * @throws UnsupportedRuntimeError where greenlets do not work
   */
  <Args extends unknown[], T>(fn: (...args: Args) => T, ...args: Args): SpawnedGreenlet<Awaited<T>>

  /**
   * As `spawn(fn, ...args)`, with options: a name, an async context, and a signal that kills it.
   *
   * @example
   * ```js
   * const controller = new AbortController()
   * const g = spawn.with({ name: 'poll', signal: controller.signal }, (ms) => sleep(ms), 60_000)
   * setTimeout(() => controller.abort(), 5)
   * await g.catch((error) => error.code) // 'ERR_GREENLET_KILLED'
   * ```
   *
   * @param options see {@link SpawnOptions}
   * @param fn may be async; its promise is waited for then
   * @param args what `fn` is called with
   * @throws TypeError `ERR_GREENLET_INVALID_ARG`
   * @throws UnsupportedRuntimeError where greenlets do not work
   */
  with<Args extends unknown[], T>(
    options: SpawnOptions,
    fn: (...args: Args) => T,
    ...args: Args
  ): SpawnedGreenlet<Awaited<T>>
}

/** See {@link Spawn}. */
export const spawn: Spawn = Object.assign(
  function spawn<Args extends unknown[], T>(fn: (...args: Args) => T, ...args: Args): SpawnedGreenlet<Awaited<T>> {
    if (typeof fn !== 'function') throw typeError(`spawn() takes a function, not ${describe(fn)}`)
    const greenlet = new SpawnedGreenlet<Awaited<T>>(fn, args)
    startSoon(greenlet)
    return greenlet
  },
  { with: spawnWith },
)

function spawnWith<Args extends unknown[], T>(
  options: SpawnOptions,
  fn: (...args: Args) => T,
  ...args: Args
): SpawnedGreenlet<Awaited<T>> {
  const { name, context, signal } = checkOptions<SpawnOptions>('spawn.with()', options, ['name', 'context', 'signal'])
  checkSignal('spawn.with()', signal)
  if (typeof fn !== 'function') throw typeError(`spawn.with() takes options and a function, not ${describe(fn)}`)
  const greenlet = new SpawnedGreenlet<Awaited<T>>(fn, args, { parent: Greenlet.main, name, context })
  if (signal !== undefined) killOnAbort(recordOf(greenlet), signal)
  if (signal?.aborted !== true) startSoon(greenlet)
  return greenlet
}

/** The record and not the object, which the stack would keep alive. */
function killOnAbort(record: GreenletRecord, signal: AbortSignal): void {
  const abort = (): void => {
    const makeExit = () => new GreenletExit('its signal was aborted', { cause: signal.reason as unknown })
    if (record.state === UNSTARTED) {
      endUnstarted(record, makeExit())
      return
    }
    if (record.state === DEAD) return
    // Otherwise a wait with the same signal would throw its reason first, and the kill would interrupt the cleanup. So would
    // the next wait, if it does not wait now: it may have aborted the signal itself.
    if (record.ending === undefined && endWait(record, signal.reason) === undefined) killAtNextWait(record, makeExit())
    immediate(() => killAborted(record))
  }
  if (signal.aborted) {
    abort()
    return
  }
  signal.addEventListener('abort', abort, { once: true })
  record.settle = function (threw, value) {
    signal.removeEventListener('abort', abort)
    settle.call(this, threw, value)
  }
}

function killAborted(record: GreenletRecord): void {
  finishEnded()
  // This may be an event loop inside of a greenlet, which must not be left.
  if (thread.current !== main) {
    immediate(() => killAborted(record))
    return
  }
  // Another `kill()` would interrupt its cleanup.
  if (record.ending?.isPending === false) return
  try {
    killRecord(record)
  } catch (error) {
    if (!(error instanceof GreenletError) || error.code !== 'ERR_GREENLET_KILL_REFUSED') throw error
    process.emitWarning(`the signal of spawn.with() was aborted, but ${error.message}`, {
      type: 'GreenletWarning',
      code: error.code,
    })
  }
}

function startSoon(greenlet: Greenlet): void {
  // The Immediate forgets a function when it has called it, but keeps arguments; and it keeps the Immediates after it.
  immediate(() => startSpawned(greenlet))
}

/** Starts a spawned greenlet if main runs. If a greenlet runs, it must not be left, so the event loop starts it soon. */
export function startAtOnce(greenlet: Greenlet): void {
  finishEnded()
  if (thread.current !== main) {
    startSoon(greenlet)
    return
  }
  try {
    startSpawned(greenlet)
  } catch (error) {
    // Another greenlet has sent it to main. The caller waits for a promise, and has nothing to do with it.
    nextTick(() => {
      throw error
    })
  }
}

/** Takes the result of a spawned greenlet to its promise. */
function settle(this: GreenletRecord, threw: boolean, value: unknown): void {
  const greenlet = objectOf(this)
  const settlePromise = greenlet === undefined ? undefined : settlers.take(greenlet, threw)
  if (settlePromise === undefined) {
    // The object was collected, and there may be a new one, which is no promise.
    if (threw && !isExit(value)) void NativePromise.reject(value)
  } else if (!threw) {
    // A promise that is resolved with itself is rejected, with an error of V8.
    settlePromise(value !== greenlet && isThenable(value) ? withoutExit(value, greenlet as Spawned, this) : value)
  } else if (isExit(value)) {
    Killed.note(greenlet as Spawned)
    settlePromise(killedError(this, value))
  } else settlePromise(value)
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  if (isPromise(value)) return true
  try {
    return ((typeof value === 'object' && value !== null) || typeof value === 'function') && 'then' in value
  } catch {
    // V8 meets the same error, and rejects the promise with it.
    return false
  }
}

/** The promise of an async function, or another thenable. An exit that ends the function rejects it. */
function withoutExit(
  promise: PromiseLike<unknown>,
  greenlet: SpawnedGreenlet<unknown>,
  record: GreenletRecord,
): Promise<unknown> {
  // Not `promise.then()`, which may be a function of the program.
  return new NativePromise((resolve) => resolve(promise)).then(undefined, (error: unknown) => {
    if (!isExit(error)) throw error
    Killed.note(greenlet)
    throw killedError(record, error)
  })
}

/** Without frames, of which capturing would make `kill()` of a spawned greenlet half as slow again. The cause has them. */
function killedError(record: GreenletRecord, exit: unknown): GreenletError {
  return withoutFrames(
    () =>
      new GreenletError(
        'ERR_GREENLET_KILLED',
        `greenlet ${quoted(record.name)} was ended by a GreenletExit and has no result; catch ERR_GREENLET_KILLED where it may be killed`,
        { cause: exit },
      ),
  )
}

/** From now on it is not reported if no other code handles the rejection of `promise`. */
function handleRejection(promise: Promise<unknown>): void {
  void Reflect.apply(then, promise, [undefined, nothing])
}

function nothing(): void {}

function startSpawned(greenlet: Greenlet): void {
  const record = recordOf(greenlet)
  // It may have been switched to or killed meanwhile.
  if (record.state !== UNSTARTED) return
  try {
    deliver(record, false, [])
  } catch (error) {
    // If it could not start, for example because there is no stack slot, the error is its result.
    if ((record.state as number) !== UNSTARTED) throw error
    endUnstarted(record, error)
  }
}

/** Where this file's own code ends. */
function last<T>(probe: () => T): T {
  return probe()
}

addOwnCode(first, last, first, last)
