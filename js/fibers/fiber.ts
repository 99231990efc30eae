/**
 * `Fiber`: the API of node-fibers 5, made of records and switches. A Fiber is the object of a record, in place of a
 * `Greenlet`, and each start makes a new record.
 *
 *     fiber.run(value)     switches to the fiber, and makes the running greenlet its parent
 *     Fiber.yield(value)   switches to the parent
 *
 * A Fiber that is suspended and unreachable is collected, and the next `run()` unwinds its stack. So nothing that lies on a
 * fiber's stack may lead to the Fiber: `Fiber.yield()` knows only records, and `run()` lies on the stack of its caller.
 *
 * No error is caught and thrown again here, because V8 would show this file as the place where it was thrown.
 */

import { GreenletExit, typeError } from '../common/errors.ts'
import { addOwnCode } from '../common/own-code.ts'
import { describe, nameOf } from '../common/values.ts'
import { ensureAttached } from '../core/attach.ts'
import { endContext, inheritContext } from '../core/context.ts'
import { deliver, finishEnded, refuseInHook } from '../core/lifecycle.ts'
import * as records from '../core/record.ts'
import { holdWeakly, objectOf, register, unregister } from '../core/registry.ts'
import { startAndSwitchTo, switchTo } from '../core/switch.ts'
import * as threadModule from '../core/thread.ts'
import { endUnreachable, mayBeUnreachable } from '../core/unreachable.ts'
import { type Greenlet, greenletOf as greenletOfRecord, makeObject } from '../greenlet/greenlet.ts'
import * as contract from '../native/contract.ts'
import type { Fiber as FiberType, FiberConstructor } from './types.ts'

type GreenletRecord = records.GreenletRecord

// Own constants, because imported ones make a switch slower; see core/switch.ts.
const { FLAGS, mail } = contract
const { DEAD, LIVE, UNSTARTED } = records
const { main, thread } = threadModule

/** It runs, or is suspended in another way than by `Fiber.yield()`. */
const BUSY = 0
/** It is suspended by `Fiber.yield()`. */
const YIELDING = 1
/** `run()`, `throwInto()` or `reset()` is about to resume it. */
const RESUMING = 2

/** Where this file's own code begins; see common/own-code.ts. */
function first<T>(probe: () => T): T {
  return probe()
}

/** The stacks that node-fibers would have made, if it had kept as many as `size` for later fibers. */
const pool = { size: 120, free: 0, created: 0 }

/** What `reset()` throws. To greenlets it is a GreenletExit, to programs a plain Error. */
class Zombie extends GreenletExit {
  constructor() {
    super('This Fiber is a zombie')
    Object.defineProperty(this, 'code', { enumerable: false })
  }

  static {
    for (const [key, value] of Object.entries({ name: 'Error', constructor: Error })) {
      Object.defineProperty(this.prototype, key, { value, writable: true, configurable: true })
    }
  }
}

/** What is known of a fiber from its start to its end. Its stack keeps this alive, but not the Fiber. */
class FiberState implements records.Guest {
  phase: typeof BUSY | typeof YIELDING | typeof RESUMING = BUSY
  /** Set once the fiber is to end: each `Fiber.yield()` throws it. */
  zombie: Zombie | undefined = undefined
  /** The own properties of the Fiber when it yielded last; undefined where it never had any. */
  properties: Kept | undefined = undefined
  readonly fn: records.Run
  readonly prototype: object

  constructor(fn: records.Run, prototype: object) {
    this.fn = fn
    this.prototype = prototype
  }

  greenletOf(record: GreenletRecord): Greenlet {
    return FiberObject.greenletOf(fiberOf(record), record)
  }

  exit(): Zombie {
    return (this.zombie ??= new Zombie())
  }

  failed(error: unknown): void {
    console.error(
      'An exception was thrown from a Fiber which was being garbage collected. This error can not be gracefully ' +
        'recovered from. The only acceptable behavior is to terminate this application. The exception appears below:\n',
    )
    console.error(error)
    process.exit(1)
  }

  ended(): void {
    if (pool.free < pool.size) pool.free++
  }
}

/** What `Fiber()` makes. Its prototype is that of `Fiber`, which is a function because it is called without `new` too. */
class FiberObject {
  readonly #fn: records.Run
  /** The last start; undefined before the first one. */
  #record: GreenletRecord | undefined = undefined
  /** What `greenletOf` has made for the last start. */
  #greenlet: Greenlet | undefined = undefined
  /** While this fiber runs: the object of the fiber or greenlet that called `run()`, which this one will return to. */
  #runner: object | undefined = undefined

  constructor(fn: records.Run) {
    this.#fn = fn
  }

  get started(): boolean {
    finishEnded()
    return this.#record !== undefined && this.#record.state !== DEAD
  }

  run(value?: unknown): unknown {
    if (mayBeUnreachable()) endUnreachable()
    if (mail[FLAGS] !== 0) checkSwitch()
    const record = this.#record
    if (record === undefined || record.state === DEAD) return this.#start(value, arguments.length)
    const state = record.guest as FiberState
    if (state.phase !== YIELDING) throw new Error('This Fiber is already running')
    if (arguments.length > 1) throw new TypeError('run() excepts 1 or no arguments')
    const { parent } = record
    this.#prepare(record, state)
    try {
      return switchTo(record, value)
    } finally {
      this.#finish(record, state, parent)
    }
  }

  throwInto(error?: unknown): unknown {
    const record = this.#record
    const state = record?.guest as FiberState | undefined
    if (record === undefined || state?.phase !== YIELDING) throw new Error('This Fiber is not yielding')
    if (arguments.length > 1) throw new TypeError('throwInto() expects 1 or no arguments')
    return this.#throw(record, state, error)
  }

  reset(): unknown {
    finishEnded()
    const record = this.#record
    if (record === undefined || record.state === DEAD) return undefined
    const state = record.guest as FiberState
    if (state.phase !== YIELDING) throw new Error('This Fiber is not yielding')
    if (arguments.length > 0) throw new TypeError('reset() expects no arguments')
    const zombie = state.exit()
    const result = this.#throw(record, state, zombie)
    return result === zombie ? undefined : result
  }

  #start(value: unknown, count: number): unknown {
    if (count > 1) throw new TypeError('run() excepts 1 or no arguments')
    ensureAttached()
    checkSwitch()
    const { current } = thread
    const before = this.#record
    const record = new records.GreenletRecord(thread.nextSerial++, this, current, undefined)
    const state = new FiberState(this.#fn, Object.getPrototypeOf(this) as object)
    record.guest = state
    record.label = nameOf(this.#fn)
    inheritContext(record)
    register(record)
    this.#record = record
    this.#greenlet = undefined
    if (current !== main) this.#runner = faceOf(current)
    if (pool.free > 0) pool.free--
    else pool.created++
    try {
      const args = count === 0 ? [] : [value]
      return startAndSwitchTo(record, { run: this.#fn, receiver: undefined, args, threw: false })
    } finally {
      this.#finish(record, state, current)
      if (record.state === UNSTARTED) {
        this.#record = before
        refuseStart(record)
      }
    }
  }

  #throw(record: GreenletRecord, state: FiberState, error: unknown): unknown {
    checkSwitch()
    const { parent } = record
    this.#prepare(record, state)
    try {
      return deliver(record, true, error)
    } finally {
      this.#finish(record, state, parent)
    }
  }

  /** Before the fiber is resumed. */
  #prepare(record: GreenletRecord, state: FiberState): void {
    const { current } = thread
    record.parent = current
    if (current !== main) this.#runner = faceOf(current)
    state.phase = RESUMING
  }

  /** After that, when control is back, or after the switch was refused. */
  #finish(record: GreenletRecord, state: FiberState, before: GreenletRecord | null): void {
    if (this.#runner !== undefined) this.#runner = undefined
    if (state.phase === RESUMING && record.state === LIVE) {
      state.phase = YIELDING
      state.zombie = undefined
      record.parent = before
    }
    if (record.state !== DEAD) keepProperties(this, state)
  }

  /** The Fiber of a record that was collected, as `fiberOf` needs it. */
  static remake(record: GreenletRecord, { fn, prototype, properties }: FiberState): FiberObject {
    const fiber = new FiberObject(fn)
    fiber.#record = record
    Object.setPrototypeOf(fiber, prototype)
    for (let i = 0; properties !== undefined && i < properties.keys.length; i++) {
      Object.defineProperty(fiber, properties.keys[i]!, properties.values[i]!)
    }
    return fiber
  }

  static greenletOf(fiber: FiberObject, record: GreenletRecord): Greenlet {
    if (fiber.#record !== record) return face(record, fiber)
    return (fiber.#greenlet ??= face(record, fiber))
  }

  static recordOf(fiber: unknown): GreenletRecord | undefined {
    if (typeof fiber === 'object' && fiber !== null && #record in fiber) return fiber.#record
    throw typeError(`greenletOf() takes a fiber, not ${describe(fiber)}`)
  }
}

/** The Fiber of a Greenlet, which keeps it alive. */
const fibers = new WeakMap<Greenlet, FiberObject>()

function face(record: GreenletRecord, fiber: FiberObject): Greenlet {
  const greenlet = makeObject(record)
  fibers.set(greenlet, fiber)
  return greenlet
}

/** The Fiber of a record. Where it was collected, it is a new one with the same own properties. */
function fiberOf(record: GreenletRecord): FiberObject {
  const found = objectOf(record)
  if (found !== undefined) return found as FiberObject
  const fiber = FiberObject.remake(record, record.guest as FiberState)
  holdWeakly(record, fiber)
  return fiber
}

/** What keeps a running greenlet alive. */
function faceOf(record: GreenletRecord): object {
  return record.guest instanceof FiberState ? fiberOf(record) : greenletOfRecord(record)
}

/** Names of properties, and what each of them is. */
interface Kept {
  readonly keys: string[]
  readonly values: PropertyDescriptor[]
}

/** Not a function that the program may have replaced since. */
const { getOwnPropertyDescriptor } = Object

/**
 * Remembers the own properties of a fiber, so that they outlive the object: libraries keep their state there. A getter is kept as
 * a getter, and is not called.
 */
function keepProperties(fiber: FiberObject, state: FiberState): void {
  let count = 0
  for (const key in fiber) {
    const property = getOwnPropertyDescriptor(fiber, key)
    if (property === undefined) continue
    const kept = (state.properties ??= { keys: [], values: [] })
    kept.keys[count] = key
    kept.values[count++] = property
  }
  if (state.properties !== undefined) state.properties.keys.length = state.properties.values.length = count
}

/** As `deliver`, before a switch. */
function checkSwitch(): void {
  finishEnded()
  refuseInHook()
}

/** For a fiber that could not start: all is as it was before. */
function refuseStart(record: GreenletRecord): void {
  pool.created--
  unregister(record)
  endContext(record)
  record.guest = undefined
  const { refusal } = thread
  if (refusal === contract.NO_SLOT || refusal === contract.LIMIT || refusal === contract.NO_MEMORY) {
    thread.refusal = contract.OK
    throw new RangeError('Out of memory')
  }
}

function yieldToParent(value?: unknown): unknown {
  if (mail[FLAGS] !== 0) checkSwitch()
  const { current } = thread
  const state = current.guest
  if (!(state instanceof FiberState)) throw new Error('yield() called with no fiber running')
  if (state.zombie !== undefined) throw state.zombie
  if (arguments.length > 1) throw new TypeError('yield() expects 1 or no arguments')
  const parent = current.parent!
  state.phase = YIELDING
  try {
    return parent.state === LIVE ? switchTo(parent, value) : deliver(parent, false, [value])
  } finally {
    state.phase = BUSY
  }
}

/** See {@link FiberConstructor}. */
export const Fiber: FiberConstructor = function Fiber(this: unknown, fn: unknown) {
  if (arguments.length !== 1) throw new TypeError('Fiber expects 1 argument')
  if (typeof fn !== 'function') throw new TypeError('Fiber expects a function')
  const target = new.target as unknown
  if (target === undefined || target === Fiber) return new FiberObject(fn as records.Run)
  return Reflect.construct(FiberObject, [fn], target as never) as object
} as never

Fiber.prototype = FiberObject.prototype as never
Object.defineProperty(Fiber.prototype, 'constructor', { value: Fiber, writable: true, configurable: true })
Object.defineProperties(Fiber, {
  // Programs replace it to trace their fibers.
  yield: { value: yieldToParent, writable: true, configurable: true, enumerable: true },
  current: {
    get(): FiberObject | undefined {
      finishEnded()
      const { current } = thread
      return current.guest instanceof FiberState ? fiberOf(current) : undefined
    },
    configurable: true,
    enumerable: true,
  },
  poolSize: {
    get: () => pool.size,
    set(size: unknown) {
      pool.size = Math.max(0, Math.trunc(Number(size)) || 0)
      pool.free = Math.min(pool.free, pool.size)
    },
    configurable: true,
    enumerable: true,
  },
  fibersCreated: { get: () => pool.created, configurable: true, enumerable: true },
})

/** See index.ts. */
export function greenletOf(fiber: FiberType): Greenlet | undefined {
  finishEnded()
  const record = FiberObject.recordOf(fiber)
  return record === undefined || record.state === DEAD ? undefined : greenletOfRecord(record)
}

/** Where this file's own code ends. */
function last<T>(probe: () => T): T {
  return probe()
}

addOwnCode(first, last, first, last, greenletOf)
