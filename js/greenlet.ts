/**
 * The class. What a user sees of a greenlet is here; how it begins and ends is in `life.ts`, one switch in `transfer.ts`.
 */

import { inspect } from 'node:util'
import * as workerThreads from 'node:worker_threads'
import type { AsyncResource } from 'node:async_hooks'
import { checkContext, checkName, checkRun, describe, typeError } from './check.ts'
import { changeContext, inheritContext, showContext } from './context.ts'
import { GreenletError, GreenletExit } from './errors.ts'
import type { Frame } from './frames/frame.ts'
import { snapshotOf } from './frames/snapshot.ts'
import { EMPTY_STACK, type FrameStack } from './frames/stack.ts'
import { DEAD, Inner, type Life, LIVE, main, UNSTARTED } from './inner.ts'
import { deliver, describeLife, ensureAttached, here, succumb, throwing } from './life.ts'
import { address, FLAGS, mail } from './native.ts'
import { enroll, hold, living } from './registry.ts'
import { connection, current, isTracing, launch, transfer } from './transfer.ts'

// As in transfer.ts.
const words = mail
const [ALIVE, STATE] = [LIVE, FLAGS] as const

/** The record behind a greenlet. */
export let innerOf: (greenlet: Greenlet) => Inner
/** Whether `value` is a greenlet of this copy of the package. */
export let isGreenlet: (value: unknown) => value is Greenlet

/** In place of `run`: makes an object for a greenlet that is there already. */
const ADOPT = Symbol('adopt')
/** Node 22.10 and newer. */
const { markAsUncloneable } = workerThreads as { markAsUncloneable?: (value: object) => void }
/** Before, greenlets are made as something that V8 refuses to clone; its methods are not theirs, see below. */
const Base: new () => object = markAsUncloneable === undefined ? WeakSet : class {}

/** What a greenlet is doing. `'running'` is the current one alone. */
export type GreenletState = 'unstarted' | 'running' | 'suspended' | 'dead'

export interface GreenletOptions {
  /** Who gets the result, and the errors that leave `run`. Default: the current greenlet. */
  readonly parent?: Greenlet | null | undefined
  /** For messages and stack dumps. Default: the name of `run`, or `greenlet-N`. */
  readonly name?: string | undefined
  /** What it runs in, as {@link Greenlet.gr_context}; null for no context. Default: inherited from here. */
  readonly context?: AsyncResource | null | undefined
}

/**
 * A function on a native stack of its own. It runs when it is switched to, until it switches away, at any depth, or ends.
 *
 * ```js
 * const g = new Greenlet((x) => [1, 2, 3].map((y) => Greenlet.current.parent.switch(x * y)))
 * g.switch(10) // 10
 * g.switch('a') // 20
 * g.switch('b') // 30
 * g.switch('c') // ['a', 'b', 'c'], and g is dead
 * ```
 */
// oxlint-disable-next-line no-unsafe-declaration-merging -- `run` is an accessor that a subclass may override by a method
export class Greenlet extends Base {
  /** The greenlet that runs: `Greenlet.main`, unless one was switched to. */
  static get current(): Greenlet {
    return greenletOf(here())
  }

  /** The thread's own stack, which every thread has from the start. It has no parent, and does not end. */
  static get main(): Greenlet {
    return greenletOf(main)
  }

  /**
   * The greenlets of this thread that are not dead, main first, then in the order they were made. They are held weakly:
   * an unstarted one that nobody can reach any more may be missing. One that is suspended and holds itself, by a variable
   * of its own stack, is only found here.
   */
  static all(): Greenlet[] {
    here()
    return living().map(greenletOf)
  }

  readonly #inner: Inner
  /** The object of the Inner's parent, which this one keeps alive. */
  #parent: Greenlet | null = null

  static {
    innerOf = (greenlet) => greenlet.#inner
    isGreenlet = (value): value is Greenlet => typeof value === 'object' && value !== null && #inner in value
    // Outside the class body, so that subclasses may have `run` as a method. See the interface below.
    Object.defineProperty(this.prototype, 'run', {
      configurable: true,
      get(this: Greenlet) {
        return this.#inner.run
      },
      set(this: Greenlet, run: unknown) {
        if (this.#inner.life !== UNSTARTED) {
          throw new GreenletError(
            'ERR_GREENLET_STARTED',
            `greenlet '${this.#inner.name}' has started, and its run cannot be set any more; make a new greenlet`,
          )
        }
        this.#inner.run = checkRun(run)
      },
    })
  }

  /**
   * Makes a greenlet; nothing runs until it is switched to.
   *
   * @param run called with the arguments of the first switch, and without `this`. May be left out, and be set later or
   *   come as a method `run()` of a subclass, which is called with `this`.
   * @throws UnsupportedRuntimeError where greenlets do not work; `runtimeInfo()` asks without throwing
   * @throws TypeError `ERR_GREENLET_INVALID_ARG`
   */
  constructor(run?: ((...args: never[]) => unknown) | null, options?: GreenletOptions) {
    super()
    markAsUncloneable?.(this)
    if ((run as unknown) === ADOPT) {
      const inner = options as unknown as Inner
      this.#inner = inner
      if (inner.parent !== null) this.#parent = greenletOf(inner.parent)
      return
    }
    ensureAttached()
    const inner = new Inner(this, here(), checkRun(run))
    if (options !== undefined) {
      const { parent, name, context } = checkOptions(options)
      if (parent !== undefined && parent !== null) inner.parent = checkParent(parent)
      if (name !== undefined) inner.label = checkName(name)
      if (context === undefined) inheritContext(inner)
      else changeContext(inner, checkContext(context))
    } else inheritContext(inner)
    this.#inner = inner
    this.#parent = greenletOf(inner.parent!)
    enroll(inner)
  }

  /**
   * Runs this greenlet until somebody switches back, and returns what they bring: one argument as itself, several as an
   * array, none as undefined. The first switch calls `run` with the arguments. Switching to the current greenlet returns
   * at once; what is sent to a dead greenlet goes to its parent.
   *
   * @throws whatever is thrown here by `throw()`, or leaves the `run` of a greenlet whose parent this one is
   * @throws GreenletError `ERR_GREENLET_WAITING`, `_LIMIT`, `_NO_SLOT`, `_NO_MEMORY`, `_FORBIDDEN`; nothing has happened then
   * @throws TypeError `ERR_GREENLET_NO_RUN`
   */
  switch<T = unknown>(...args: unknown[]): T
  // One parameter and `arguments`, not a rest array: nothing is allocated for up to one argument.
  switch(value?: unknown): unknown {
    const inner = this.#inner
    if (inner.life !== ALIVE || inner === current || arguments.length > 1 || words[STATE] !== 0) {
      // oxlint-disable-next-line prefer-rest-params -- see above
      return deliver(inner, false, arguments.length === 1 ? [value] : Array.prototype.slice.call(arguments))
    }
    return transfer(inner, value)
  }

  /**
   * As `switch()`, but throws `error` where this greenlet is suspended, also in `wait()`. An unstarted greenlet dies of it
   * and passes it to its parent, as a dead one does; a `GreenletExit` arrives there as a value.
   *
   * @param error anything; default: a new `GreenletExit`
   */
  throw<T = unknown>(error: unknown = new GreenletExit()): T {
    return deliver(this.#inner, true, error) as T
  }

  /**
   * Ends this greenlet now: throws a `GreenletExit` where it is suspended and returns when it has died, after its `finally`
   * blocks. Its result comes here, not to its parent, and is dropped; an error it ends with is thrown here. An unstarted
   * greenlet ends without running, a dead one stays as it is, and the current one throws right here.
   *
   * @throws GreenletError `ERR_GREENLET_KILL_REFUSED` if control came back and it was still alive; `ERR_GREENLET_MAIN`
   */
  kill(): void {
    const inner = this.#inner
    const me = here()
    if (inner.life === DEAD) return
    if (inner === main) {
      throw new GreenletError(
        'ERR_GREENLET_MAIN',
        'main cannot be killed: it is the stack of the thread itself; end the process or the Worker instead',
      )
    }
    const exit = new GreenletExit()
    if (inner === me) throw exit
    if (inner.life === UNSTARTED && !isTracing()) {
      succumb(inner, exit)
      return
    }
    const killers = (inner.killers ??= [])
    killers.push(me)
    try {
      if (inner.life === UNSTARTED) launch(inner, throwing(exit))
      else deliver(inner, true, exit)
    } finally {
      killers.splice(killers.lastIndexOf(me), 1)
    }
    // TypeScript believes that the life did not change.
    if ((inner.life as Life) !== DEAD) {
      throw new GreenletError(
        'ERR_GREENLET_KILL_REFUSED',
        `greenlet '${inner.name}' is still alive: it caught GreenletExit and switched away; let it end after a GreenletExit`,
      )
    }
  }

  /** `kill()`, for `using`. */
  [Symbol.dispose](): void {
    this.kill()
  }

  /**
   * Who gets this greenlet's result, and the errors that leave its `run`; null for main alone. During a `kill()` it is the
   * greenlet that kills. May be set at any time, to a greenlet that does not descend from this one.
   *
   * @throws TypeError `ERR_GREENLET_INVALID_ARG`
   * @throws GreenletError `ERR_GREENLET_PARENT_CYCLE`, `ERR_GREENLET_MAIN`
   */
  get parent(): Greenlet | null {
    const { killer } = this.#inner
    return killer === undefined ? this.#parent : greenletOf(killer)
  }

  set parent(parent: Greenlet) {
    const inner = this.#inner
    const next = checkParent(parent)
    if (inner === main) {
      throw new GreenletError(
        'ERR_GREENLET_MAIN',
        'cannot set the parent of main: it has none, and every chain ends there',
      )
    }
    for (let ancestor: Inner | null = next; ancestor !== null; ancestor = ancestor.parent) {
      if (ancestor !== inner) continue
      throw new GreenletError(
        'ERR_GREENLET_PARENT_CYCLE',
        `cyclic parent chain: '${next.name}' descends from '${inner.name}'; give '${next.name}' another parent first`,
      )
    }
    inner.parent = next
    inner.killers = undefined
    this.#parent = parent
  }

  /** For messages and stack dumps; need not be unique. */
  get name(): string {
    return this.#inner.name
  }

  set name(name: string) {
    this.#inner.label = checkName(name)
  }

  /** Whether it has ended. */
  get dead(): boolean {
    here()
    return this.#inner.life === DEAD
  }

  /** Whether it has been switched to, or has ended before that. */
  get started(): boolean {
    return this.#inner.life !== UNSTARTED
  }

  get state(): GreenletState {
    const inner = this.#inner
    if (inner === here()) return 'running'
    if (inner.life === UNSTARTED) return 'unstarted'
    return inner.life === DEAD ? 'dead' : 'suspended'
  }

  /**
   * The async context it runs in: what AsyncLocalStorage and async hooks see there. It begins as a resource of type
   * `GREENLET` that inherits from where the greenlet was made. `gr.gr_context.runInAsyncScope(fn)` calls `fn` with the
   * greenlet's stores as they are by then. Null for main: its context is another one in each callback of the event loop.
   *
   * May be set at any time; a suspended greenlet goes on in the new one, the current one at once. Greenlets that are given
   * the same resource share it: one sees what `enterWith` changes in another. Null takes the stores away. Not to be set while
   * the greenlet is inside `AsyncLocalStorage.run()` or `runInAsyncScope()`: these bring back what they found.
   *
   * @throws TypeError `ERR_GREENLET_INVALID_ARG`
   * @throws GreenletError `ERR_GREENLET_MAIN` if set on main
   */
  get gr_context(): AsyncResource | null {
    here()
    return showContext(this.#inner)
  }

  set gr_context(context: AsyncResource | null) {
    const inner = this.#inner
    const next = checkContext(context)
    here()
    if (inner === main) {
      throw new GreenletError(
        'ERR_GREENLET_MAIN',
        'cannot set the context of main: it changes with every callback of the event loop; use AsyncLocalStorage.run() there',
      )
    }
    changeContext(inner, next)
  }

  /** The frame that switched away; null while it runs, before it has started and after it has ended. */
  get gr_frame(): Frame | null {
    return snapshotOf(this.#inner)?.frames[0] ?? null
  }

  /**
   * All frames of its stack, innermost first; empty where `gr_frame` is null. The greenlet is not run for it. The frames can
   * be read until it is next resumed, then they throw `StaleFrameError`; `gr_stack.detach()` makes copies that last.
   */
  get gr_stack(): FrameStack {
    return snapshotOf(this.#inner)?.stack ?? EMPTY_STACK
  }

  /** Bytes that its stack takes while it is suspended; 0 while it runs, before it has started and after it has ended. */
  get stackSize(): number {
    const { index, generation } = this.#inner
    if (index === -1 || this.#inner === here()) return 0
    address(index, generation)
    return connection().stackSize()
  }

  /** `<Greenlet 'name' suspended active started>`, in Python greenlet's words. */
  override toString(): string {
    const inner = this.#inner
    const kind: unknown = this.constructor?.name
    return `<${typeof kind === 'string' && kind ? kind : 'Greenlet'} '${inner.name}'${describeLife(inner)}>`
  }

  toJSON(): { name: string; state: GreenletState; parent: string | null } {
    return { name: this.#inner.name, state: this.state, parent: this.parent?.name ?? null }
  }

  [inspect.custom](): string {
    return this.toString()
  }
}

export interface Greenlet {
  /**
   * What the greenlet will run. It can be set until the start and is undefined from then on, unless it is a method of a
   * subclass. Looked up once, at the first switch.
   */
  run?(...args: never[]): unknown
}

Object.setPrototypeOf(Greenlet.prototype, Object.prototype)

/** The object of `inner`. Where there is none any more, as in the `finally` of one that nobody could reach, a new one. */
export function greenletOf(inner: Inner): Greenlet {
  return inner.strong ?? inner.weak?.deref() ?? adopt(inner)
}

function adopt(inner: Inner): Greenlet {
  const greenlet = new Greenlet(ADOPT as never, inner as never)
  hold(inner, greenlet)
  return greenlet
}

main.strong = new Greenlet(ADOPT as never, main as never)

function checkOptions(options: unknown): GreenletOptions {
  if (isGreenlet(options)) throw typeError('the options of a greenlet are an object; pass a parent as { parent }')
  if (typeof options !== 'object' || options === null) {
    throw typeError(`the options of a greenlet are an object, not ${describe(options)}`)
  }
  return options
}

function checkParent(parent: unknown): Inner {
  if (isGreenlet(parent)) return innerOf(parent)
  throw typeError(`the parent of a greenlet must be a Greenlet of this thread, not ${describe(parent)}`)
}
