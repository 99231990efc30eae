/**
 * The stacks of a dump. Equal stacks are kept once:
 *
 *     native says that their frames are the same    0.5 us   no frames are made
 *     the places of their frames are the same        10 us   V8 makes the frames
 *     a new stack                                   100 us   their texts are made, too
 */

import type { GreenletRecord } from '../core/record.ts'
import { thread } from '../core/thread.ts'
import { setSubject } from '../native/contract.ts'
import { isOwnFrame, PAUSE_SCRIPT } from '../stack/own-frames.ts'
import { arrayOfSites, type CallSite, sitesOf } from '../stack/realm.ts'
import { ensureCaptureRealm, snapshotOf } from '../stack/snapshot.ts'
import type { FrameLine, StackData } from './data.ts'
import { isOwn } from './own.ts'
import { clean, MOST_OF_LINE } from './safe.ts'

/** Of a deeper stack so many outermost frames are kept. */
const OUTERMOST = 10
/** Frames further out do not tell two stacks apart, unless their number does. */
const MOST_COMPARED = 500

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** A stack that is known. Numbers and names are compared one by one, because one text of all of them takes longer to make than to capture. */
interface Shape {
  readonly length: number
  readonly positions: readonly number[]
  /** What each position belongs to: a script, or a built-in function. */
  readonly scripts: readonly string[]
  /** For a built-in function, the type of its receiver: `forEach` of a Map or of a Set. */
  readonly types: readonly string[]
  /** Its place in the list. */
  readonly stack: number
}

/** Stacks of which native says that they have the same frames. */
interface Same {
  /** Their place in the list. */
  readonly stack: number
  /** How many there were. The frames of the 2nd, 4th, 8th and so on are made and compared, because native might be wrong. */
  count: number
}

/** Native has called two stacks the same that are at different places. It is not asked any more. */
let isWrong = false
/** Each collection makes all numbers invalid, and a page looks again and again. */
const MOST_NUMBERS = 10_000

/** The positions of the stack that is compared now. */
const positions = new Int32Array(MOST_COMPARED)

export class Stacks {
  readonly #frames: number
  /** By a hash of their positions. */
  readonly #known = new Map<number, Shape[]>()
  /** By their place in the list. */
  readonly #shapes: (Shape | undefined)[] = []
  /** By native's numbers. */
  readonly #same = new Map<number, Same>()
  readonly list: Mutable<StackData>[] = []

  /** @param frames how many of one stack are kept */
  constructor(frames: number) {
    this.#frames = frames
  }

  /** The number of a suspended greenlet's stack; undefined where it has no frames. */
  add(record: GreenletRecord): number | undefined {
    const number = framesNumberOf(record)
    if (number === 0) return this.#capture(record)
    const same = this.#same.get(number)
    if (same !== undefined && !isPowerOfTwo(++same.count)) {
      this.list[same.stack]!.count++
      return same.stack
    }
    const stack = this.#capture(record)
    if (stack === undefined || this.list[stack]!.problem !== undefined) return stack
    if (same !== undefined) isWrong ||= !isSamePlace(this.#shapes[same.stack], this.#shapes[stack])
    else {
      if (this.#same.size >= MOST_NUMBERS) this.#same.clear()
      this.#same.set(number, { stack, count: 1 })
    }
    return stack
  }

  /** The same, by its frames. */
  #capture(record: GreenletRecord): number | undefined {
    try {
      const sites = capturedSites(record)
      if (sites === undefined) return undefined
      // Where V8 could not make them, the second attempt throws an error that says why.
      const hash = sites === null ? 0 : readPositions(sites)
      let similar = this.#known.get(hash)
      const known = sites === null ? undefined : similar?.find((shape) => isShape(shape, sites))
      if (known !== undefined) {
        this.list[known.stack]!.count++
        return known.stack
      }
      // Before the frames are read: they may be read as another stack.
      const shape = sites === null ? undefined : shapeOf(sites, this.list.length)
      const stack = this.#read(record)
      if (stack === undefined) return undefined
      if (shape !== undefined) {
        if (similar === undefined) this.#known.set(hash, (similar = []))
        similar.push(shape)
        this.#shapes[shape.stack] = shape
      }
      return this.list.push(stack) - 1
    } catch (error) {
      // The running stack is nearly full, or a `toString` of the program has thrown.
      return this.list.push({ count: 1, frames: [], problem: clean(messageOf(error), MOST_OF_LINE) }) - 1
    }
  }

  #read(record: GreenletRecord): Mutable<StackData> | undefined {
    const stack = snapshotOf(record)?.stack
    if (stack === undefined || stack.length === 0) return undefined
    const most = this.#frames
    const outermost = Math.min(OUTERMOST, most >> 1)
    const frames: FrameLine[] = []
    for (let i = 0; i < stack.length; i++) {
      if (stack.length > most && i >= most - outermost && i < stack.length - outermost) continue
      const frame = stack[i]!
      const { fileName, lineNumber, columnNumber } = frame.original ?? frame
      const own = frame.fileName !== null && isOwn(frame.fileName)
      frames.push(lineOf(String(frame), frame.functionName, fileName, lineNumber, columnNumber, own))
    }
    const omitted = stack.length - frames.length
    return omitted === 0 ? { count: 1, frames } : { count: 1, frames, omitted }
  }
}

function lineOf(
  text: string,
  functionName: string | null,
  file: string | null,
  line: number | null,
  column: number | null,
  own: boolean,
): FrameLine {
  return {
    text: clean(text, MOST_OF_LINE),
    ...(functionName === null ? {} : { function: clean(functionName) }),
    ...(file === null ? {} : { file: clean(file, MOST_OF_LINE) }),
    ...(line === null ? {} : { line }),
    ...(column === null ? {} : { column }),
    ...(own ? { own: true as const } : {}),
  }
}

/**
 * The frames of the running stack that are further out than the script `asker`; only the innermost one while it reads the variables of
 * another stack, because the others are of that stack then.
 */
export function runningFrames(asker: string, most: number): FrameLine[] {
  try {
    ensureCaptureRealm()
    const sites = sitesOf(thread.native, thread.capture()) ?? []
    let start = sites.length
    while (start > 0 && sites[start - 1]!.getScriptNameOrSourceURL() !== asker) start--
    let end = sites.length
    for (let i = start; i < end; i++) if (sites[i]!.getScriptNameOrSourceURL() === PAUSE_SCRIPT) end = i + 1
    while (end > start && (sites[end - 1]!.isAsync() || isOwnFrame(sites[end - 1]!))) end--
    return start === 0 ? [] : sites.slice(start, end).slice(0, most).map(lineOfSite)
  } catch {
    // The running stack is nearly full.
    return []
  }
}

function lineOfSite(site: CallSite): FrameLine {
  const [file, line, column] = [site.getScriptNameOrSourceURL(), site.getLineNumber(), site.getColumnNumber()]
  const own = !!file && isOwn(file)
  return lineOf(site.toString(), site.getFunctionName(), file || null, line ?? null, column ?? null, own)
}

/** A number that suspended greenlets with the same frames have; 0 where it is not known. */
function framesNumberOf(record: GreenletRecord): number {
  if (isWrong || !thread.attached) return 0
  setSubject(record.index, record.generation)
  return thread.native.framesNumber()
}

/** All frames of a suspended greenlet; undefined where it has no stack, null where V8 could not make them. */
function capturedSites(record: GreenletRecord): ArrayLike<CallSite> | null | undefined {
  const { native } = thread
  ensureCaptureRealm()
  setSubject(record.index, record.generation)
  const error = native.capture()
  return error === undefined ? undefined : (arrayOfSites(native, error) ?? null)
}

function isPowerOfTwo(count: number): boolean {
  return (count & (count - 1)) === 0
}

function comparedOf({ length }: ArrayLike<unknown>): number {
  return length < MOST_COMPARED ? length : MOST_COMPARED
}

/** Reads the positions of a stack, and returns a hash of them. */
function readPositions(sites: ArrayLike<CallSite>): number {
  let hash = sites.length
  for (let i = 0; i < comparedOf(sites); i++) {
    const position = sites[i]!.getPosition()
    positions[i] = position
    hash = (Math.imul(hash, 31) + position) | 0
  }
  return hash
}

/** Whether the stack of which the positions were read last has this shape. */
function isShape(shape: Shape, sites: ArrayLike<CallSite>): boolean {
  if (shape.length !== sites.length) return false
  for (let i = 0; i < shape.positions.length; i++) if (shape.positions[i] !== positions[i]) return false
  for (let i = 0; i < shape.scripts.length; i++) {
    if (shape.scripts[i] !== scriptOf(sites[i]!) || shape.types[i] !== typeOf(sites[i]!)) return false
  }
  return true
}

function shapeOf(sites: ArrayLike<CallSite>, stack: number): Shape {
  const scripts: string[] = []
  const types: string[] = []
  for (let i = 0; i < comparedOf(sites); i++) {
    scripts.push(scriptOf(sites[i]!))
    types.push(typeOf(sites[i]!))
  }
  return { length: sites.length, positions: [...positions.subarray(0, scripts.length)], scripts, types, stack }
}

/** Whether two stacks are at the same positions of the same functions. The receivers of built-in functions may be of different types. */
function isSamePlace(a: Shape | undefined, b: Shape | undefined): boolean {
  if (a === b) return true
  if (a?.length !== b?.length) return false
  return a!.scripts.every((script, i) => script === b!.scripts[i] && a!.positions[i] === b!.positions[i])
}

/**
 * Another text for each script, and for the same text loaded in another way: a script that was loaded again has other contents, or
 * begins at another line.
 */
function scriptOf(site: CallSite): string {
  const file = site.getScriptNameOrSourceURL()
  const hash = site.getScriptHash()
  if (hash === '') return file || site.getFunctionName() || ''
  const origin = site.isEval() ? site.getEvalOrigin() : ''
  return `${file}\n${hash}\n${site.getLineNumber()}\n${origin}`
}

function typeOf(site: CallSite): string {
  return site.getScriptHash() === '' ? (site.getTypeName() ?? '') : ''
}

function messageOf(error: unknown): string {
  try {
    return String((error as Error).message)
  } catch {
    return 'an error that cannot be read'
  }
}
