/**
 * `gr_stack`: an array of frames that can be read until its greenlet is resumed. It is a Proxy of a frozen array. So an
 * index, `length` and iteration throw where the stack is stale, as the getters of frames do, and the frames are made
 * when they are first read.
 */

import { inspect } from 'node:util'
import { thread } from '../core/thread.ts'
import { type DetachedFrame, type Frame, type FrameJSON, type FrameSource, siteOfFrame } from './frame.ts'
import { linesByProgram } from './program-text.ts'
import { printable, quoted } from '../common/text.ts'

/** What a stack reads from: a snapshot. */
export interface StackSource extends Omit<FrameSource, 'name' | 'callAbove'> {
  readonly epoch: number
  /** How many frames there are. Throws a StaleFrameError unless it is valid. */
  readonly count: number
  /** The greenlet's name when the snapshot was taken. */
  readonly name: string
}

/**
 * The frames of a suspended greenlet, innermost first. Once it was resumed, every property but `valid` throws
 * `StaleFrameError`.
 *
 * @example
 * ```js
 * const g = new Greenlet(function job() {
 *   Greenlet.main.switch()
 * })
 * g.switch()
 * const stack = g.gr_stack
 * stack.length // 1
 * stack[0].functionName // 'job'
 * const lasting = stack.detach()
 * g.switch()
 * stack.valid // false
 * lasting[0].functionName // 'job'
 * ```
 */
export interface FrameStack extends ReadonlyArray<Frame> {
  /** Whether it can still be read. Never throws. */
  readonly valid: boolean
  /** How often the greenlet had been resumed when the snapshot was taken. */
  readonly epoch: number
  /** Copies of the frames that last, in an array. */
  detach(): readonly DetachedFrame[]
  /**
   * A line `    at fn (file:line:column)` for each frame, as in an error's stack: with the positions in the sources where errors have
   * them. The maps are read now. Control characters are escaped.
   */
  toString(): string
  /**
   * An error that has this stack as its own, for tools that show errors, such as Sentry. It is a copy that lasts.
   *
   * @example
   * ```js
   * const g = new Greenlet(function job() {
   *   Greenlet.main.switch()
   * })
   * g.switch()
   * const error = g.gr_stack.toError('still there')
   * error.message // 'still there'
   * error.stack.startsWith('Error: still there\n    at job (') // true
   * ```
   *
   * @param message default: `greenlet 'name' is suspended here`
   */
  toError(message?: string): Error
  /** The frames as {@link Frame.toJSON} gives them. */
  toJSON(): FrameJSON[]
}

/** The key by which the methods of a stack get its source. It is not a property: the Proxy handles it. */
const SOURCE = Symbol('source')

class Stack extends Array<Frame> {
  declare readonly [SOURCE]: StackSource

  /** `map` and `filter` make ordinary arrays. */
  static override get [Symbol.species](): ArrayConstructor {
    return Array
  }

  get valid(): boolean {
    return this[SOURCE].valid
  }

  get epoch(): number {
    return this[SOURCE].epoch
  }

  detach(): readonly DetachedFrame[] {
    return this[SOURCE].detach()
  }

  override toString(): string {
    return textOf(this[SOURCE].frames)
  }

  toError(message?: string): Error {
    const source = this[SOURCE]
    const text = textOf(source.frames)
    const where = text === '' ? 'the greenlet is not suspended' : `greenlet ${quoted(source.name)} is suspended here`
    const error = new thread.realm.Error(message ?? where)
    const stack = `${String(error)}${text === '' ? '' : `\n${text}`}`
    // On Node.js 20, redefining V8's own property would format the error, by the program's `Error.prepareStackTrace`.
    Reflect.deleteProperty(error, 'stack')
    return Object.defineProperty(error, 'stack', { value: stack, writable: true, configurable: true })
  }

  toJSON(): FrameJSON[] {
    return this[SOURCE].frames.map((frame) => frame.toJSON())
  }

  /** For the console. Does not throw where the stack is stale. The console calls this on the Proxy. */
  [inspect.custom](): string {
    const { staleness } = this[SOURCE]
    if (staleness !== undefined) return `[stale stack: ${staleness}]`
    const { frames } = this[SOURCE]
    return frames.length === 0 ? '[empty stack]' : textOf(frames)
  }
}

export function makeStack(source: StackSource): FrameStack {
  return new Proxy(new Stack(), new Reader(source)) as unknown as FrameStack
}

/** A line for each frame, innermost first. */
export function textOf(frames: readonly (Frame | DetachedFrame)[]): string {
  return linesOf(frames)
    .map((line) => `    at ${line}`)
    .join('\n')
}

/** The text of each frame. Frames that are formatted together may have better names than one by one. */
export function linesOf(frames: readonly (Frame | DetachedFrame)[]): string[] {
  return linesByProgram(frames.map(siteOfFrame)).map((line) => printable(line))
}

class Reader implements ProxyHandler<Stack> {
  readonly #source: StackSource

  constructor(source: StackSource) {
    this.#source = source
  }

  /** Called before anything is read: throws where the stack is stale, and fills the array the first time. */
  #open(stack: Stack): void {
    this.#source.check()
    if (Object.isFrozen(stack)) return
    stack.push(...this.#source.frames)
    Object.freeze(stack)
  }

  get(stack: Stack, key: string | symbol, receiver: unknown): unknown {
    if (key === SOURCE) return this.#source
    // It needs no frames. They are made when something else is read.
    if (key === 'length') return this.#source.count
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
  name: '',
  staleness: undefined,
  count: 0,
  frames: [],
  frameAt: () => undefined,
  detach: () => [],
  scriptIdOf: () => null,
  check() {},
})
