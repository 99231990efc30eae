/**
 * Frames. A `Frame` reads from a snapshot when a property is read, and only while the snapshot is valid. A
 * `DetachedFrame` has the same properties as plain data.
 */

import { inspect } from 'node:util'
import type { CallSite } from './realm.ts'

/**
 * The data of a frame. A string or number that the frame does not have is null, for example the line of a built-in
 * function.
 */
export interface FrameData {
  readonly functionName: string | null
  /** The property of the receiver that holds the function. */
  readonly methodName: string | null
  /** The class of the receiver; null in functions without `this`. */
  readonly typeName: string | null
  /** A path, or a URL for an ES module; null for built-in functions and evaluated code. */
  readonly fileName: string | null
  /** From 1. */
  readonly lineNumber: number | null
  /** From 1, in UTF-16 units. */
  readonly columnNumber: number | null
  /** V8's number for the script, as the inspector uses it; null for built-in functions and wasm. */
  readonly scriptId: number | null
  /** UTF-16 units from the start of the script; bytes from the start of the module for wasm. */
  readonly position: number
  /** A built-in function of V8 such as `Array.prototype.map`, which has no source. */
  readonly isNative: boolean
  readonly isTopLevel: boolean
  readonly isConstructor: boolean
  readonly isAsync: boolean
  /** Whether it is at the top level of code that was given to `eval`. */
  readonly isEval: boolean
  readonly isWasm: boolean
}

const FIELDS = [
  'functionName',
  'methodName',
  'typeName',
  'fileName',
  'lineNumber',
  'columnNumber',
  'scriptId',
  'position',
  'isNative',
  'isTopLevel',
  'isConstructor',
  'isAsync',
  'isEval',
  'isWasm',
] as const satisfies readonly (keyof FrameData)[]

/** What frames read from: the snapshot that they belong to. */
export interface FrameSource {
  readonly valid: boolean
  /** Why the frames cannot be read; undefined while they can. */
  readonly staleness: string | undefined
  /** All frames. Throws a StaleFrameError unless it is valid. */
  readonly frames: readonly Frame[]
  /** Copies of all frames. Throws a StaleFrameError unless it is valid. */
  detach(): readonly DetachedFrame[]
  /** V8's number for the script of a frame; null where it has none. Throws a StaleFrameError unless it is valid. */
  scriptIdOf(site: CallSite): number | null
  /** Throws a StaleFrameError unless it is valid. */
  check(): void
}

/**
 * A frame of a suspended greenlet. It can be read until that greenlet is next resumed; after that, every property but
 * `valid` throws `StaleFrameError`.
 */
export class Frame implements FrameData {
  readonly #source: FrameSource
  /** The number of frames further in. */
  readonly #level: number
  readonly #callSite: CallSite

  constructor(source: FrameSource, level: number, site: CallSite) {
    this.#source = source
    this.#level = level
    this.#callSite = site
  }

  /** All getters read through this, so that a stale frame throws. */
  get #site(): CallSite {
    this.#source.check()
    return this.#callSite
  }

  get functionName(): string | null {
    return this.#site.getFunctionName() || null
  }

  get methodName(): string | null {
    return this.#site.getMethodName() ?? null
  }

  get typeName(): string | null {
    return this.#site.getTypeName() ?? null
  }

  get fileName(): string | null {
    return this.#site.getFileName() ?? null
  }

  get lineNumber(): number | null {
    return this.#site.getLineNumber() ?? null
  }

  get columnNumber(): number | null {
    return this.#site.getColumnNumber() ?? null
  }

  get scriptId(): number | null {
    return this.#source.scriptIdOf(this.#callSite)
  }

  get position(): number {
    return this.#site.getPosition()
  }

  get isNative(): boolean {
    return isBuiltIn(this.#site)
  }

  get isTopLevel(): boolean {
    return this.#site.isToplevel()
  }

  get isConstructor(): boolean {
    return this.#site.isConstructor()
  }

  get isAsync(): boolean {
    return this.#site.isAsync()
  }

  get isEval(): boolean {
    return this.#site.isEval()
  }

  get isWasm(): boolean {
    return isWasm(this.#site)
  }

  /** The next frame outwards, which called this one; null for the outermost. */
  get f_back(): Frame | null {
    return this.#source.frames[this.#level + 1] ?? null
  }

  /** Whether it can still be read. Never throws. */
  get valid(): boolean {
    return this.#source.valid
  }

  /** A copy that lasts, with copies of the frames further out. */
  detach(): DetachedFrame {
    return this.#source.detach()[this.#level]!
  }

  /** As V8 prints it: `fn (file:line:column)`. */
  toString(): string {
    return this.#site.toString()
  }

  toJSON(): FrameData {
    return dataOf(this)
  }

  /** For the console. Does not throw where the frame is stale. */
  [inspect.custom](): string {
    const { staleness } = this.#source
    return staleness === undefined ? `[frame ${this.toString()}]` : `[stale frame: ${staleness}]`
  }
}

/** A copy of a frame. Its fields are plain data, so all of it but `f_back` can be posted to another thread. */
export class DetachedFrame implements FrameData {
  declare readonly functionName: string | null
  declare readonly methodName: string | null
  declare readonly typeName: string | null
  declare readonly fileName: string | null
  declare readonly lineNumber: number | null
  declare readonly columnNumber: number | null
  declare readonly scriptId: number | null
  declare readonly position: number
  declare readonly isNative: boolean
  declare readonly isTopLevel: boolean
  declare readonly isConstructor: boolean
  declare readonly isAsync: boolean
  declare readonly isEval: boolean
  declare readonly isWasm: boolean

  readonly #stack: readonly DetachedFrame[]
  readonly #level: number
  readonly #text: string

  /** @param stack the array that will contain this frame and those further out */
  constructor(frame: Frame, stack: readonly DetachedFrame[], level: number) {
    Object.assign(this, dataOf(frame))
    this.#stack = stack
    this.#level = level
    this.#text = frame.toString()
    Object.freeze(this)
  }

  get f_back(): DetachedFrame | null {
    return this.#stack[this.#level + 1] ?? null
  }

  toString(): string {
    return this.#text
  }
}

function dataOf(frame: Frame): FrameData {
  return Object.fromEntries(FIELDS.map((field) => [field, frame[field]])) as unknown as FrameData
}

/** Whether the site is in a built-in function of V8, which has no script. */
export function isBuiltIn(site: CallSite): boolean {
  return site.isNative() || (site.getLineNumber() ?? null) === null
}

/**
 * V8's CallSite has no method for this, but such a site prints as `module.function
 * (wasm://wasm/hash:wasm-function[3]:0x27)`.
 */
export function isWasm(site: CallSite): boolean {
  return /:wasm-function\[\d+\]:0x[\da-f]+\)?$/.test(site.toString())
}
