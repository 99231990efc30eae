/**
 * The class `Greenlet`: the public face of a greenlet. How greenlets start and end is in core/lifecycle.ts, one switch
 * is in core/switch.ts.
 *
 * The class has a room of its own, above `core` and `stack`, because `gr_stack` and `gr_frame` read snapshots. `core`
 * knows a Greenlet only as the object of a record (`GreenletObject`), so imports point one way.
 */

import { inspect } from 'node:util'
import type { AsyncResource } from 'node:async_hooks'
import { GreenletExit } from '../common/errors.ts'
import { addOwnCode, type Mark } from '../common/own-code.ts'
import { nameOf } from '../common/values.ts'
import { quoted } from '../common/text.ts'
import { ensureAttached } from '../core/attach.ts'
import { changeContext, inheritContext, showContext } from '../core/context.ts'
import { changeParent, changeRun, replaceContext } from '../core/change.ts'
import { interrupt } from '../core/interrupt.ts'
import { endOf, killRecord } from '../core/kill.ts'
import { deliver, describeState, finishEnded, refuseInHook } from '../core/lifecycle.ts'
import * as records from '../core/record.ts'
import { holdWeakly, objectOf, register, registeredRecords } from '../core/registry.ts'
import { switchTo } from '../core/switch.ts'
import * as threadModule from '../core/thread.ts'
import { checkContext, checkName, checkRun } from '../core/validate.ts'
import * as contract from '../native/contract.ts'
import type { Frame } from '../stack/frame.ts'
import { snapshotOf } from '../stack/snapshot.ts'
import { EMPTY_STACK, type FrameStack } from '../stack/stack.ts'
import * as accessModule from './access.ts'
import { checkOptions, checkParent, isCopy } from './access.ts'
import { Base, markAsUncloneable } from './base.ts'
import { killAll, type KillAllOptions } from './kill-all.ts'
import { type GreenletState, stackSizeOf, stateOf } from './state.ts'
import { endUnreachable } from '../core/unreachable.ts'

type GreenletRecord = records.GreenletRecord

// Own constants, because imported ones make a switch slower; see core/switch.ts.
const { FLAGS, mail } = contract
const { DEAD, LIVE, UNSTARTED } = records
const { main, thread } = threadModule
const { access } = accessModule

/** The first mark of the class; see common/own-code.ts. */
const marks: { first?: Mark } = {}

/** Not the method that the program may have replaced since. */
const hasInstance = Function.prototype[Symbol.hasInstance]

/** In place of `run`: makes a new object for a record that exists. */
const FOR_RECORD = Symbol('for record')

/** The options of a spawned greenlet. They need no check. */
const CHILD_OF_MAIN: GreenletOptions = {}

/**
 * The options of `new Greenlet(run, options)`. Each may be left out, or undefined.
 *
 * @example
 * ```js
 * const g = new Greenlet(() => {}, { name: 'worker', parent: Greenlet.main, context: null })
 * g.name // 'worker'
 * ```
 */
export interface GreenletOptions {
  /** The greenlet that gets the result, and the errors that leave `run`. Default: the current greenlet. */
  readonly parent?: Greenlet | null | undefined
  /** For messages and stack dumps. Default: the name of `run`, or `greenlet-N`. */
  readonly name?: string | undefined
  /**
   * The async context it runs in, as {@link Greenlet.gr_context}; null for no context. Default: inherited from the
   * caller.
   */
  readonly context?: AsyncResource | null | undefined
}

/**
 * A function on a native stack of its own. It runs when it is switched to, until it switches away, at any depth, or
 * ends.
 *
 * @example
 * ```js
 * const g = new Greenlet((x) => [1, 2, 3].map((y) => Greenlet.current.parent.switch(x * y)))
 * g.switch(10) // 10
 * g.switch('a') // 20
 * g.switch('b') // 30
 * g.switch('c') // [ 'a', 'b', 'c' ]
 * g.dead // true
 * ```
 */
// oxlint-disable-next-line no-unsafe-declaration-merging -- `run` is an accessor that a subclass may override by a method
export class Greenlet extends Base {
  static {
    marks.first = (probe) => probe()
  }

  /** The running greenlet: `Greenlet.main`, unless another one was switched to. */
  static get current(): Greenlet {
    finishEnded()
    return greenletOf(thread.current)
  }

  /**
   * The greenlet of the thread's own stack. Every thread has one from the start. It has no parent and does not end.
   */
  static get main(): Greenlet {
    return greenletOf(main)
  }

  /**
   * The greenlets of this thread that are not dead: main first, then in the order in which they were made. They are
   * held weakly: an unstarted greenlet that is unreachable may be missing. A suspended greenlet that is held only by a
   * variable of its own stack is found only here.
   *
   * @example
   * ```js
   * for (const g of Greenlet.all()) console.error(`${g.name} (${g.state})\n${g.gr_stack}`)
   * ```
   */
  static all(): Greenlet[] {
    finishEnded()
    return registeredRecords().map(greenletOf)
  }

  /**
   * Kills all greenlets of this thread except the current one and main, for the end of a program or of a test, also those
   * that cleanups make meanwhile. Those that wait while they clean up get `grace` milliseconds. On main it kills at once,
   * and the result is a promise. A greenlet blocks until main has done it. In a handler of the process's `'exit'`, where the
   * event loop is over, it does not wait.
   *
   * Never throws an error of a greenlet. The result is a list of what went wrong, empty where all have ended: the errors
   * that greenlets without a promise ended with, and a GreenletError `ERR_GREENLET_KILL_REFUSED` for each that is alive.
   * The error of a spawned greenlet goes to its promise.
   *
   * @example
   * ```js
   * spawn(() => sleep(60_000))
   * const errors = await Greenlet.killAll({ grace: 100 })
   * errors.length // 0
   * ```
   *
   * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
   */
  static killAll(options?: KillAllOptions): unknown[] | Promise<unknown[]> {
    return killAll(options)
  }

  /**
   * Ends the suspended greenlets that the garbage collector has found unreachable, and returns how many: a `GreenletExit` is
   * thrown in each, and its `finally` blocks run, before this returns. Without this call it happens in a later turn of the
   * event loop. It does not collect garbage itself, and finds what a full collection has found.
   *
   * @example
   * ```js
   * for (let i = 0; i < 1000; i++) new Greenlet(() => Greenlet.main.switch()).switch()
   * Greenlet.collect() // 0
   * ```
   */
  static collect(): number {
    finishEnded()
    refuseInHook()
    return endUnreachable()
  }

  /**
   * Greenlets are numbered in the order in which they are made, from 1; main is 0. It is the one own property of a greenlet, so
   * that functions such as `assert.deepEqual` tell greenlets apart.
   */
  readonly serial: number

  readonly #record: GreenletRecord
  /** The object of the record's parent, which this object keeps alive. */
  #parent: Greenlet | null = null

  static {
    access.recordOf = (greenlet) => (greenlet as Greenlet).#record
    access.isGreenlet = (value): value is object => typeof value === 'object' && value !== null && #record in value
    // What `spawn()` gives inherits from `Promise`. Not declared in the class body, so that TypeScript narrows as ever.
    Object.defineProperty(this, Symbol.hasInstance, {
      value(this: unknown, value: unknown) {
        return (this === Greenlet && access.isGreenlet(value)) || Reflect.apply(hasInstance, this, [value])
      },
    })
    // Not declared in the class body, so that TypeScript lets subclasses have `run` as a method; see the interface
    // below.
    Object.defineProperty(this.prototype, 'run', {
      configurable: true,
      get(this: Greenlet) {
        return this.#record.run
      },
      set(this: Greenlet, run: unknown) {
        changeRun(this.#record, run)
      },
    })
  }

  /**
   * Makes a greenlet; nothing runs until it is switched to.
   *
   * @example
   * ```js
   * const add = new Greenlet((a, b) => a + b, { name: 'add' })
   * add.switch(1, 2) // 3
   *
   * class Greeter extends Greenlet {
   *   run(name) {
   *     return `Hello ${name}`
   *   }
   * }
   * new Greeter().switch('Ada') // 'Hello Ada'
   * ```
   *
   * @param run called with the arguments of the first switch, and without `this`. It may be left out and set later. It
   *   may also be a method `run()` of a subclass, which is called with `this`.
   * @throws UnsupportedRuntimeError where greenlets do not work; `runtimeInfo()` tells the same without throwing
   * @throws TypeError `ERR_GREENLET_INVALID_ARG`
   * @throws GreenletError `ERR_GREENLET_SECOND_COPY`
   */
  constructor(run?: ((...args: never[]) => unknown) | null, options?: GreenletOptions)
  constructor(run?: ((...args: never[]) => unknown) | null, options?: GreenletOptions, target?: object) {
    super(target)
    // A promise cannot be cloned anyway.
    if (target === undefined) markAsUncloneable?.(this)
    const isNew = (run as unknown) !== FOR_RECORD
    // A short constructor is faster: V8 can compile it into its callers.
    const record = isNew ? makeRecord(this, run, options) : (options as unknown as GreenletRecord)
    this.#record = record
    this.serial = record.serial
    if (record.parent !== null) this.#parent = greenletOf(record.parent)
    if (isNew) register(record)
  }

  /**
   * Runs this greenlet, and suspends the caller until another greenlet switches back to it. Returns what that switch
   * brings: one argument as itself, several as an array, none as undefined. The first switch calls `run` with the
   * arguments. A switch to the current greenlet returns at once. What is sent to a dead greenlet goes to its parent.
   *
   * In TypeScript the result is `unknown`, because any greenlet may switch back with any value. `switch<number>()` is a
   * cast, as `switch() as number` is: nothing checks it.
   *
   * @example
   * ```js
   * const g = new Greenlet((a, b) => Greenlet.main.switch(a + b) * 2)
   * g.switch(1, 2) // 3
   * g.switch(21) // 42
   * ```
   *
   * @throws any error that `throw()` sends to the caller, or that leaves the `run` of a child of the caller
   * @throws GreenletError `ERR_GREENLET_WAITING`, `_LIMIT`, `_NO_SLOT`, `_NO_MEMORY`, `_FORBIDDEN`, `_GONE`; nothing
   *   has happened then
   * @throws TypeError `ERR_GREENLET_NO_RUN`
   */
  switch<T = unknown>(...args: unknown[]): NoInfer<T>
  // One parameter and `arguments`, not a rest array: nothing is allocated for up to one argument.
  switch(value?: unknown): unknown {
    const record = this.#record
    if (record.state !== LIVE || record === thread.current || arguments.length > 1 || mail[FLAGS] !== 0) {
      // oxlint-disable-next-line prefer-rest-params -- see above
      return deliver(
        record,
        false,
        arguments.length > 1 ? Array.prototype.slice.call(arguments) : arguments.length === 1 ? [value] : [],
      )
    }
    return switchTo(record, value)
  }

  /**
   * As `switch()`, but throws `error` where this greenlet is suspended, also in `wait()`. An unstarted greenlet ends
   * with the error and passes it to its parent, as a dead one does. A `GreenletExit` arrives there as a value.
   *
   * In TypeScript the result is `unknown`, as that of `switch()`.
   *
   * @example
   * ```js
   * const g = new Greenlet(() => {
   *   try {
   *     Greenlet.main.switch()
   *   } catch (error) {
   *     return `caught ${error.message}`
   *   }
   * })
   * g.switch()
   * g.throw(new Error('stop')) // 'caught stop'
   * ```
   *
   * @param error any value, also undefined; without an argument it is a new `GreenletExit`
   * @throws any error that the next switch to the caller brings: this one, if it leaves `run` and the caller is the parent
   * @throws GreenletError `ERR_GREENLET_FORBIDDEN`, `_GONE`; nothing has happened then
   */
  throw<T = unknown>(error?: unknown): NoInfer<T> {
    // Not a default value: `undefined` can be thrown.
    return deliver(this.#record, true, arguments.length === 0 ? new GreenletExit() : error) as NoInfer<T>
  }

  /**
   * Ends this greenlet now: throws a `GreenletExit` where it is suspended, and returns when it is dead, after its
   * `finally` blocks. If it waits there, as for a rollback, `kill()` returns meanwhile and the greenlet goes on ending:
   * `ended` tells when it has. Its result comes to the caller in place of the parent, and is dropped. An error it ends
   * with is thrown to the caller, or to the parent if `kill()` has returned. An unstarted greenlet ends without running.
   * A dead one stays as it is. For the current one the `GreenletExit` is thrown here.
   *
   * A greenlet that catches the exit and starts over, by waiting again where the exit was thrown, gets the exit again.
   * A second `kill()` interrupts its cleanup.
   *
   * @example
   * ```js
   * const g = new Greenlet(() => {
   *   try {
   *     Greenlet.main.switch()
   *   } finally {
   *     console.log('cleaned up') // cleaned up
   *   }
   * })
   * g.switch()
   * g.kill()
   * g.dead // true
   * ```
   *
   * @throws GreenletError `ERR_GREENLET_KILL_REFUSED` if it has switched away by hand, or starts over and over;
   *   `ERR_GREENLET_MAIN` on main; `ERR_GREENLET_FORBIDDEN` as `switch()`
   */
  kill(): void {
    killRecord(this.#record)
  }

  /**
   * Throws `error` where this greenlet waits, in `wait()`, `sleep()` or `join()`, in the next turn of the event loop. Its
   * wait is over from now on, and what it waited for is ignored. Unlike `throw()`, it never switches and never throws, so it
   * can be called anywhere: on main, in greenlets, timers, callbacks and abort listeners.
   *
   * Returns whether the error will be thrown: false where this greenlet does not wait, and where its wait is over. After
   * true, only a `kill()` or `throw()` before the next turn, or the error of a child, takes the place of the error.
   *
   * @example
   * ```js
   * const g = spawn(() => sleep(60_000))
   * setTimeout(() => g.interrupt(new Error('enough')), 5)
   * await g.catch((error) => error.message) // 'enough'
   * g.interrupt(new Error('too late')) // false
   * ```
   */
  interrupt(error: unknown): boolean {
    return interrupt(this.#record, error)
  }

  /**
   * A promise that is fulfilled, with undefined, when this greenlet is dead, however it ends. It is never rejected, and
   * always the same one. That of main stays pending.
   *
   * @example
   * ```js
   * const g = spawn(() => {
   *   try {
   *     sleep(60_000)
   *   } finally {
   *     sleep(5)
   *   }
   * })
   * setTimeout(() => g.kill(), 1)
   * await g.ended
   * g.dead // true
   * ```
   */
  get ended(): Promise<void> {
    return endOf(this.#record)
  }

  /**
   * Whether it was killed and has not ended yet, because it waits in its cleanup. Another `kill()` would interrupt that.
   *
   * @example
   * ```js
   * const g = spawn(() => {
   *   try {
   *     sleep(60_000)
   *   } finally {
   *     sleep(5)
   *   }
   * })
   * await new Promise(setImmediate)
   * g.kill()
   * g.ending // true
   * await g.ended
   * g.ending // false
   * ```
   */
  get ending(): boolean {
    finishEnded()
    return this.#record.ending !== undefined
  }

  /** `kill()`, for `using`. */
  [Symbol.dispose](): void {
    this.kill()
  }

  /**
   * The greenlet that gets this greenlet's result, and the errors that leave its `run`; null for main alone. During a
   * `kill()` it is the greenlet that called `kill()`. May be set at any time, to a greenlet that does not descend from
   * this one.
   *
   * @throws TypeError `ERR_GREENLET_INVALID_ARG`
   * @throws GreenletError `ERR_GREENLET_PARENT_CYCLE`, `ERR_GREENLET_MAIN`
   */
  get parent(): Greenlet | null {
    const { killer, guest, parent } = this.#record
    if (killer !== undefined) return greenletOf(killer)
    // That of a fiber changes with each `run()`.
    return guest === undefined || parent === null ? this.#parent : greenletOf(parent)
  }

  set parent(parent: Greenlet) {
    changeParent(this.#record, checkParent(parent))
    this.#parent = parent
  }

  /** For messages and stack dumps. It need not be unique. */
  get name(): string {
    return this.#record.name
  }

  set name(name: string) {
    this.#record.label = checkName(name)
  }

  /** Whether it has ended. */
  get dead(): boolean {
    finishEnded()
    return this.#record.state === DEAD
  }

  /** Whether it has been switched to, or has ended without that. */
  get started(): boolean {
    return this.#record.state !== UNSTARTED
  }

  /** What it is doing now. A greenlet in `wait()` or `sleep()` is suspended. */
  get state(): GreenletState {
    return stateOf(this.#record)
  }

  /**
   * The async context it runs in: what AsyncLocalStorage and async hooks see there. At first it is a resource of type
   * `GREENLET` that inherits from the code that made the greenlet. `gr.gr_context.runInAsyncScope(fn)` calls `fn` with
   * the greenlet's stores as they are at that time. Null for main: its context is a different one in each callback of
   * the event loop.
   *
   * May be set at any time. The current greenlet uses the new context at once, a suspended one when it is resumed.
   * Greenlets that are given the same resource share it: each sees what `enterWith` changes in another. Null removes
   * the stores. Do not set it while the greenlet is inside `AsyncLocalStorage.run()` or `runInAsyncScope()`: when these
   * return, they restore the context that they found.
   *
   * @example
   * ```js
   * import { AsyncLocalStorage } from 'node:async_hooks'
   * const storage = new AsyncLocalStorage()
   * const g = storage.run('request 1', () => new Greenlet(() => Greenlet.main.switch(storage.getStore())))
   * g.switch() // 'request 1'
   * g.gr_context.runInAsyncScope(() => storage.getStore()) // 'request 1'
   * ```
   *
   * @throws TypeError `ERR_GREENLET_INVALID_ARG`
   * @throws GreenletError `ERR_GREENLET_MAIN` if set on main
   */
  get gr_context(): AsyncResource | null {
    finishEnded()
    return showContext(this.#record)
  }

  set gr_context(context: AsyncResource | null) {
    replaceContext(this.#record, checkContext(context))
  }

  /**
   * The frame that called `switch()`; null while the greenlet runs, before it has started and after it has ended.
   */
  get gr_frame(): Frame | null {
    return snapshotOf(this.#record)?.frameAt(0) ?? null
  }

  /**
   * All frames of its stack, innermost first; empty where `gr_frame` is null. Reading them does not run the greenlet.
   * The frames can be read until it is next resumed. After that they throw `StaleFrameError`; `gr_stack.detach()` makes
   * copies that last.
   *
   * @example
   * ```js
   * const inner = () => Greenlet.main.switch()
   * const g = new Greenlet(function outer() {
   *   inner()
   * })
   * g.switch()
   * g.gr_stack.map((frame) => frame.functionName) // [ 'inner', 'outer' ]
   * ```
   */
  get gr_stack(): FrameStack {
    return snapshotOf(this.#record)?.stack ?? EMPTY_STACK
  }

  /**
   * The bytes that its stack takes while it is suspended; 0 while it runs, before it has started and after it has
   * ended.
   */
  get stackSize(): number {
    return stackSizeOf(this.#record)
  }

  /** `<Greenlet 'name' suspended active started>`, in Python greenlet's words. */
  override toString(): string {
    const record = this.#record
    const kind: unknown = this.constructor?.name
    return `<${typeof kind === 'string' && kind ? kind : 'Greenlet'} ${quoted(record.name)}${describeState(record)}>`
  }

  /** Its name, its state, and the name of its parent, for logs. */
  toJSON(): { name: string; state: GreenletState; parent: string | null } {
    if (isCopy(this)) return { ...(this as object) } as never
    return { name: this.#record.name, state: this.state, parent: this.parent?.name ?? null }
  }

  /** For the console. */
  [inspect.custom](): string {
    return isCopy(this) ? `<copy of greenlet ${this.serial}>` : this.toString()
  }

  static {
    addOwnCode(marks.first!, (probe) => probe())
  }
}

export interface Greenlet {
  /**
   * The function that the greenlet will run. It can be set until the start and is undefined after that, unless it is a
   * method of a subclass. It is read once, at the first switch.
   */
  run?(...args: never[]): unknown
}

Object.setPrototypeOf(Greenlet.prototype, Object.prototype)

/** Makes the record of a new greenlet. Throws where an argument is wrong. */
function makeRecord(greenlet: Greenlet, run: unknown, options: GreenletOptions | undefined): GreenletRecord {
  ensureAttached()
  finishEnded()
  const record = new records.GreenletRecord(thread.nextSerial++, greenlet, thread.current, checkRun(run))
  if (options === undefined || options === CHILD_OF_MAIN) {
    if (options === CHILD_OF_MAIN) record.parent = main
    record.label = nameOf(run)
    inheritContext(record)
  } else applyOptions(record, checkOptions(options) as GreenletOptions)
  if (thread.onNew !== undefined) thread.onNew(record)
  return record
}

function applyOptions(record: GreenletRecord, { parent, name, context }: GreenletOptions): void {
  if (parent !== undefined && parent !== null) record.parent = checkParent(parent)
  record.label = name === undefined ? nameOf(record.run) : checkName(name)
  if (context === undefined) inheritContext(record)
  else changeContext(record, checkContext(context))
}

/** Makes `target` a greenlet, for `spawn()`: its parent is main. Its class must have the members of `Greenlet`. */
export function makeGreenlet(target: object, run: (...args: never[]) => unknown, options = CHILD_OF_MAIN): void {
  new (Greenlet as new (...args: unknown[]) => unknown)(run, options, target)
}

/** The record of a greenlet. */
export function recordOf(greenlet: Greenlet): GreenletRecord {
  return access.recordOf(greenlet)
}

/** Whether `value` is a greenlet of this copy of the package. */
export function isGreenlet(value: unknown): value is Greenlet {
  return access.isGreenlet(value)
}

/**
 * The object of a record. Where the object was collected, it is a new one: for example in the `finally` block of a
 * greenlet that had become unreachable.
 */
export function greenletOf(record: GreenletRecord): Greenlet {
  if (record.guest !== undefined) return record.guest.greenletOf(record) as Greenlet
  // All other objects of records are made in this file.
  return (objectOf(record) as Greenlet | undefined) ?? remakeObject(record)
}

/** Makes an object for a record that exists. Nothing holds it. */
export function makeObject(record: GreenletRecord): Greenlet {
  return new Greenlet(FOR_RECORD as never, record as never)
}

function remakeObject(record: GreenletRecord): Greenlet {
  const greenlet = makeObject(record)
  holdWeakly(record, greenlet)
  return greenlet
}

main.greenlet = new Greenlet(FOR_RECORD as never, main as never)
