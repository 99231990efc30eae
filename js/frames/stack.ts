/**
 * `gr_stack`: an array of frames that can be read until its greenlet is resumed. It is a Proxy of a frozen array, so that
 * an index, `length` and iteration are refused as the frames' getters are, and the frames are made when first looked at.
 */

import { inspect } from 'node:util'
import type { DetachedFrame, Frame, FrameData, Owner } from './frame.ts'

/** What a stack reads from. */
export interface StackOwner extends Owner {
  readonly epoch: number
}

/** The frames of a suspended greenlet, innermost first. All but `valid` throws `StaleFrameError` once it was resumed. */
export interface FrameStack extends ReadonlyArray<Frame> {
  /** Whether it can still be read. Never throws. */
  readonly valid: boolean
  /** Counts how often the greenlet had been resumed when this was taken. */
  readonly epoch: number
  /** Copies that last, in an array of the same form. */
  detach(): readonly DetachedFrame[]
  /** A line `    at fn (file:line:column)` for each frame, as in an error's stack. */
  toString(): string
  toJSON(): FrameData[]
}

/** The key under which a stack gives its owner to its own methods. Not a property: the Proxy answers it. */
const OWNER = Symbol('owner')

class Stack extends Array<Frame> {
  declare readonly [OWNER]: StackOwner

  /** What `map` and `filter` make is an array like any other. */
  static override get [Symbol.species](): ArrayConstructor {
    return Array
  }

  get valid(): boolean {
    return this[OWNER].valid
  }

  get epoch(): number {
    return this[OWNER].epoch
  }

  detach(): readonly DetachedFrame[] {
    return this[OWNER].detach()
  }

  override toString(): string {
    return lines(this[OWNER].frames)
  }

  toJSON(): FrameData[] {
    return this[OWNER].frames.map((frame) => frame.toJSON())
  }

  /** For the console, which should not throw. It calls this on the Proxy although it looks through it. */
  [inspect.custom](): string {
    const { staleness } = this[OWNER]
    if (staleness !== undefined) return `[stale stack: ${staleness}]`
    const { frames } = this[OWNER]
    return frames.length === 0 ? '[empty stack]' : lines(frames)
  }
}

export function makeStack(owner: StackOwner): FrameStack {
  return new Proxy(new Stack(), new Reader(owner)) as unknown as FrameStack
}

/** A line for each frame, innermost first. */
export function lines(frames: readonly { toString(): string }[]): string {
  return frames.map((frame) => `    at ${frame.toString()}`).join('\n')
}

class Reader implements ProxyHandler<Stack> {
  readonly #owner: StackOwner

  constructor(owner: StackOwner) {
    this.#owner = owner
  }

  /** Before anything is read: refuses a stale one, and fills the array if that has not been done. */
  #open(stack: Stack): void {
    this.#owner.check()
    if (Object.isFrozen(stack)) return
    stack.push(...this.#owner.frames)
    Object.freeze(stack)
  }

  get(stack: Stack, key: string | symbol, receiver: unknown): unknown {
    if (key === OWNER) return this.#owner
    if (key !== 'valid') this.#open(stack)
    return Reflect.get(stack, key, receiver)
  }

  has(stack: Stack, key: string | symbol): boolean {
    this.#open(stack)
    return Reflect.has(stack, key)
  }

  ownKeys(stack: Stack): (string | symbol)[] {
    this.#open(stack)
    return Reflect.ownKeys(stack)
  }

  getOwnPropertyDescriptor(stack: Stack, key: string | symbol): PropertyDescriptor | undefined {
    this.#open(stack)
    return Reflect.getOwnPropertyDescriptor(stack, key)
  }

  isExtensible(stack: Stack): boolean {
    this.#open(stack)
    return Reflect.isExtensible(stack)
  }

  // The rest would change it. They are refused too, but only once it is frozen.

  preventExtensions(stack: Stack): boolean {
    this.#open(stack)
    return Reflect.preventExtensions(stack)
  }

  set(stack: Stack): boolean {
    this.#open(stack)
    return false
  }

  defineProperty(stack: Stack): boolean {
    this.#open(stack)
    return false
  }

  deleteProperty(stack: Stack): boolean {
    this.#open(stack)
    return false
  }

  setPrototypeOf(): boolean {
    return false
  }
}

/** The stack of a greenlet that has none. */
export const EMPTY_STACK = makeStack({
  valid: true,
  epoch: -1,
  staleness: undefined,
  frames: [],
  detach: () => [],
  scriptIdOf: () => null,
  check() {},
})
