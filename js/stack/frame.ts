/**
 * Frames. A `Frame` reads from a snapshot when a property is read, and only while the snapshot is valid. A
 * `DetachedFrame` has the same properties as plain data.
 */

import { isAbsolute, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { isProxy } from 'node:util/types'
import { lineByProgram } from './program-text.ts'
import type { CallSite } from './realm.ts'
import { CopiedSite } from './copied-site.ts'
import { mappingOf, type OriginalPosition } from './source-maps.ts'
import { printable } from '../common/text.ts'

/**
 * The data of a frame. A string or number that the frame does not have is null, for example the line of a built-in
 * function.
 *
 * @example
 * ```js
 * const g = new Greenlet(() => [1].map(() => Greenlet.main.switch()))
 * g.switch()
 * const [, map] = g.gr_stack
 * console.log(map.functionName, map.isNative, map.lineNumber) // map true null
 * ```
 */
export interface FrameData {
  /** Null for an anonymous function. */
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
  /** Whether the receiver is the global object, null or undefined. */
  readonly isTopLevel: boolean
  /** Whether it was called by `new`. */
  readonly isConstructor: boolean
  /** Whether it is an async function that was resumed after an `await`. */
  readonly isAsync: boolean
  /** Whether it is at the top level of code that was given to `eval`. */
  readonly isEval: boolean
  /** Whether it is a function of a WebAssembly module. */
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
  /** The frame that has so many frames further in; undefined beyond the last. Throws a StaleFrameError unless it is valid. */
  frameAt(level: number): Frame | undefined
  /** Copies of all frames. Throws a StaleFrameError unless it is valid. */
  detach(): readonly DetachedFrame[]
  /** V8's number for the script of a frame; null where it has none. Throws a StaleFrameError unless it is valid. */
  scriptIdOf(site: CallSite): number | null
  /** Throws a StaleFrameError unless it is valid. */
  check(): void
  /** The name of the greenlet. */
  readonly name: string
  /** Native's `callAbove` for this stack. Throws a StaleFrameError unless it is valid. */
  callAbove(fn: () => void, objects: object): number
}

/**
 * The data of a frame in JSON: the same each time the program runs.
 *
 * @example
 * ```js
 * const g = new Greenlet(function job() {
 *   Greenlet.main.switch()
 * })
 * g.switch()
 * const json = JSON.parse(JSON.stringify(g.gr_frame))
 * json.functionName // 'job'
 * ```
 */
export type FrameJSON = Omit<FrameData, 'scriptId'>

/** The call site of a frame. Throws where the frame is stale. */
let siteOf: (frame: Frame) => CallSite
let isFrame: (value: object) => boolean
let isDetached: (value: object) => boolean
let siteOfCopy: (frame: DetachedFrame) => CallSite

/** What V8 told of a frame or of its copy. Throws where the frame is stale. */
export function siteOfFrame(frame: Frame | DetachedFrame): CallSite {
  return isDetached(frame) ? siteOfCopy(frame as DetachedFrame) : siteOf(frame as Frame)
}

function textOfSite(site: CallSite): string {
  return printable(lineByProgram(site) ?? site.toString())
}

/** Where a frame is: what it reads from, and the number of frames further in. */
export interface Place {
  readonly source: FrameSource
  readonly level: number
}

let placeIn: (frame: object) => Place

/** Undefined where `value` is no `Frame`. Calls no code of the program, also where it is a Proxy. */
export function placeOf(value: unknown): Place | undefined {
  return typeof value === 'object' && value !== null && isFrame(value) ? placeIn(value) : undefined
}

/**
 * Whether `value` is the copy of a frame that a test runner makes for a diff: it has the prototype and the own properties, but no
 * call site. Printing it must not throw, or the reason of the failure is lost.
 */
function isCopy(value: object): boolean {
  return !isFrame(value) && !isDetached(value) && !isProxy(value) && Object.hasOwn(value, 'functionName')
}

/**
 * The own properties of a frame. Functions that compare objects, such as `assert.deepEqual`, read own enumerable properties and
 * nothing else. These five tell frames of different places apart. The other fields are on the prototype.
 */
const OWN_ACCESSORS = Object.entries<(site: CallSite) => string | number | null>({
  functionName(site) {
    return site.getFunctionName() || null
  },
  typeName(site) {
    return site.getTypeName() ?? null
  },
  fileName(site) {
    return site.getFileName() ?? null
  },
  lineNumber(site) {
    return site.getLineNumber() ?? null
  },
  columnNumber(site) {
    return site.getColumnNumber() ?? null
  },
}).map(([key, read]) => [key, { enumerable: true, get: accessorOf(read) }] as const)

function accessorOf(read: (site: CallSite) => string | number | null): (this: Frame) => string | number | null {
  return function () {
    return read(siteOf(this))
  }
}

/**
 * A frame of a suspended greenlet. It can be read until that greenlet is next resumed; after that, every property but
 * `valid` throws `StaleFrameError`.
 *
 * @example
 * ```js
 * const g = new Greenlet(function job() {
 *   Greenlet.main.switch()
 * })
 * g.switch()
 * const frame = g.gr_frame
 * frame.functionName // 'job'
 * g.switch()
 * frame.valid // false
 * ```
 */
export class Frame implements FrameData {
  readonly #source: FrameSource
  /** The number of frames further in. */
  readonly #level: number
  readonly #callSite: CallSite

  // Own properties; see `OWN_ACCESSORS`.
  declare readonly functionName: string | null
  declare readonly typeName: string | null
  declare readonly fileName: string | null
  declare readonly lineNumber: number | null
  declare readonly columnNumber: number | null

  constructor(source: FrameSource, level: number, site: CallSite) {
    this.#source = source
    this.#level = level
    this.#callSite = site
    for (const [key, accessor] of OWN_ACCESSORS) Object.defineProperty(this, key, accessor)
  }

  static {
    siteOf = (frame) => frame.#site
    isFrame = (value) => #source in value
    placeIn = (frame) => ({ source: (frame as Frame).#source, level: (frame as Frame).#level })
  }

  /** Everything is read through this, so that a stale frame throws. */
  get #site(): CallSite {
    this.#source.check()
    return this.#callSite
  }

  get methodName(): string | null {
    return this.#site.getMethodName() ?? null
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
    return this.#source.frameAt(this.#level + 1) ?? null
  }

  /**
   * The position in the source that the script was made of, by its source map; null where there is none, and where
   * {@link mapProblem} says why it cannot be used. The map is read when this or the frame's text is first asked for.
   */
  get original(): OriginalPosition | null {
    return mappingOf(this.#site).original
  }

  /** Why {@link original} is null although the script has a source map; null where it has none, or a good one. */
  get mapProblem(): string | null {
    return mappingOf(this.#site).problem
  }

  /** Whether it can still be read. Never throws. */
  get valid(): boolean {
    return this.#source.valid
  }

  /** A copy that lasts, with copies of the frames further out. */
  detach(): DetachedFrame {
    return this.#source.detach()[this.#level]!
  }

  /**
   * As an error's stack shows it: `fn (file:line:column)`, with the position in the source where errors have that. Control
   * characters are escaped, and a very long text is cut.
   */
  toString(): string {
    return isCopy(this) ? String(this.functionName) : textOfSite(this.#site)
  }

  /** The fields without the script's id, which differs from run to run, and with paths as seen from the working directory. */
  toJSON(): FrameJSON {
    return isCopy(this) ? ({ ...(this as object) } as FrameJSON) : jsonOf(this)
  }

  /** For the console. Does not throw where the frame is stale. */
  [inspect.custom](): string {
    const staleness = isCopy(this) ? undefined : this.#source.staleness
    return staleness === undefined ? `[frame ${this.toString()}]` : `[stale frame: ${staleness}]`
  }
}

/**
 * A copy of a frame. Its fields are plain data, so all of it but `f_back` can be posted to another thread.
 *
 * @example
 * ```js
 * const g = new Greenlet(function job() {
 *   Greenlet.main.switch()
 * })
 * g.switch()
 * const frame = g.gr_frame.detach()
 * g.switch()
 * frame.functionName // 'job'
 * ```
 */
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
  readonly #site: CopiedSite

  static {
    isDetached = (value) => #site in value
    siteOfCopy = (frame) => frame.#site
  }

  /** @param stack the array that will contain this frame and those further out */
  constructor(frame: Frame, stack: readonly DetachedFrame[], level: number) {
    Object.assign(this, dataOf(frame))
    this.#stack = stack
    this.#level = level
    this.#site = new CopiedSite(siteOf(frame))
    Object.freeze(this)
  }

  /** The copy of the next frame outwards; null for the outermost. */
  get f_back(): DetachedFrame | null {
    return this.#stack[this.#level + 1] ?? null
  }

  /** As {@link Frame.original}. */
  get original(): OriginalPosition | null {
    return mappingOf(this.#site).original
  }

  /** As {@link Frame.mapProblem}. */
  get mapProblem(): string | null {
    return mappingOf(this.#site).problem
  }

  /** As {@link Frame.toString}. */
  toString(): string {
    return isCopy(this) ? String(this.functionName) : textOfSite(this.#site)
  }

  /** As {@link Frame.toJSON}. */
  toJSON(): FrameJSON {
    // Reads the private field, so that this throws for an object that is neither a frame nor the copy of one.
    void this.toString()
    return jsonOf(this)
  }
}

function dataOf(frame: Frame): FrameData {
  return Object.fromEntries(FIELDS.map((field) => [field, frame[field]])) as unknown as FrameData
}

function jsonOf(frame: FrameData): FrameJSON {
  const entries = FIELDS.filter((field) => field !== 'scriptId').map((field) => [field, frame[field]])
  return Object.fromEntries([...entries, ['fileName', relativePath(frame.fileName)]]) as FrameJSON
}

/** A path below the working directory without that directory, with slashes; anything else as it is. */
function relativePath(fileName: string | null): string | null {
  if (fileName === null) return null
  try {
    const path = fileName.startsWith('file:') ? fileURLToPath(fileName) : fileName
    const below = isAbsolute(path) ? relative(process.cwd(), path) : ''
    return below === '' || below.startsWith('..') || isAbsolute(below) ? fileName : below.replaceAll(sep, '/')
  } catch {
    // The URL is not one of a file, or the working directory is gone.
    return fileName
  }
}

/**
 * Whether the site is in a built-in function of V8, which has no script. A missing line number alone does not say so: a script
 * with a negative line offset has lines without a number.
 */
export function isBuiltIn(site: CallSite): boolean {
  return site.isNative() || ((site.getLineNumber() ?? null) === null && site.getScriptHash() === '' && !isWasm(site))
}

/**
 * V8's CallSite has no method for this, but such a site prints as `module.function
 * (wasm://wasm/hash:wasm-function[3]:0x27)`.
 */
export function isWasm(site: CallSite): boolean {
  return /:wasm-function\[\d+\]:0x[\da-f]+\)?$/.test(site.toString())
}
