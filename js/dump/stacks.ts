/**
 * The stacks of a dump. Equal stacks are kept once. Whether two are equal is seen by the places of their frames, because
 * making texts of frames takes ten times as long as capturing them.
 */

import type { GreenletRecord } from '../core/record.ts'
import { thread } from '../core/thread.ts'
import { setSubject } from '../native/contract.ts'
import { isOwnFrame } from '../stack/own-frames.ts'
import { type CallSite, sitesOf } from '../stack/realm.ts'
import { ensureCaptureRealm, snapshotOf } from '../stack/snapshot.ts'
import type { FrameLine, StackData } from './data.ts'
import { isOwn } from './own.ts'
import { clean, MOST_OF_LINE } from './safe.ts'

/** Of a deeper stack so many outermost frames are kept. */
const OUTERMOST = 10
/** Frames further out do not tell two stacks apart, unless their number does. */
const MOST_COMPARED = 500

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

export class Stacks {
  readonly #frames: number
  readonly #known = new Map<string, number>()
  readonly list: Mutable<StackData>[] = []

  /** @param frames how many of one stack are kept */
  constructor(frames: number) {
    this.#frames = frames
  }

  /** The number of a suspended greenlet's stack; undefined where it has no frames. */
  add(record: GreenletRecord): number | undefined {
    let key: string | undefined
    try {
      key = keyOf(record)
      if (key === undefined) return undefined
      const known = this.#known.get(key)
      if (known !== undefined) {
        this.list[known]!.count++
        return known
      }
      const stack = this.#read(record)
      if (stack === undefined) return undefined
      this.#known.set(key, this.list.length)
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

/** The frames of the running stack that are further out than the script `asker`. */
export function runningFrames(asker: string, most: number): FrameLine[] {
  try {
    ensureCaptureRealm()
    const sites = sitesOf(thread.native, thread.capture()) ?? []
    let start = sites.length
    while (start > 0 && sites[start - 1]!.getScriptNameOrSourceURL() !== asker) start--
    let end = sites.length
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

/** A text that is the same for equal stacks only; undefined where there is no stack. */
function keyOf(record: GreenletRecord): string | undefined {
  const { native } = thread
  ensureCaptureRealm()
  setSubject(record.index, record.generation)
  const error = native.capture()
  if (error === undefined) return undefined
  const sites = sitesOf(native, error)
  // The text of this problem comes with the second attempt.
  if (sites === undefined) return ''
  let key = `${sites.length}`
  for (let i = 0; i < sites.length && i < MOST_COMPARED; i++) {
    const site = sites[i]!
    const script = site.getScriptNameOrSourceURL()
    key += `\n${site.getPosition()} ${script ?? site.getFunctionName() ?? ''}`
  }
  return key
}

function messageOf(error: unknown): string {
  try {
    return String((error as Error).message)
  } catch {
    return 'an error that cannot be read'
  }
}
