/**
 * The events of one open page: a look at the thread, again and again, and what has changed since. A page that does not read gets
 * no more until it does; and a look that takes long makes the next one later, so that all looks but the first take at most 2 % of the time.
 */

import { threadId } from 'node:worker_threads'
import { version } from '../common/version.ts'
import type { StackData } from '../dump/data.ts'
import { jsonOf } from '../dump/json.ts'
import type { Changes } from '../dump/live.ts'
import { makeLive } from '../engine.ts'
import type { Extent } from '../dump/extent.ts'
import type { Refresh } from './feed.ts'

/** Looks take at most this part of the time. */
const SHARE = 0.02

export class Watching {
  readonly #live: { look(): Changes }
  readonly #refresh: number
  /** Writes a text; false where it is not read now. */
  readonly #write: (text: string) => boolean
  /** Ends the connection. */
  readonly #end: () => void
  /** The files of all frames that the page knows. */
  readonly #files = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #isClosed = false
  #isFull = false
  #isFirst = true
  /** When the next look is due, by `performance.now()`. */
  #nextAt = 0

  constructor(extent: Extent, refresh: number, write: (text: string) => boolean, end: () => void) {
    this.#live = makeLive(extent)
    this.#refresh = refresh
    this.#write = write
    this.#end = end
  }

  /** Whether the page knows a frame in this file. */
  hasNamed(file: string): boolean {
    return this.#files.has(file)
  }

  /** Sends the first events. */
  start(): void {
    this.#send()
  }

  /** What was written is read. */
  drained(): void {
    if (!this.#isFull) return
    this.#isFull = false
    this.#sendLater()
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#end()
  }

  readonly #send = (): void => {
    if (this.#isClosed) return
    const before = performance.now()
    const changes = this.#live.look()
    if (changes.whole) this.#files.clear()
    for (const file of filesOf(changes.stacks.map(([, stack]) => stack))) this.#files.add(file)
    const { pid, versions } = process
    const about = { time: Date.now(), pid, threadId, folder: `${folderNow()}/`, node: versions.node, version }
    const refresh: Refresh = { ...changes, ...about, took: 0 }
    const text = jsonOf(refresh)
    const took = performance.now() - before
    this.#isFull = !this.#write(`event: refresh\ndata: ${text.replace('"took":0', `"took":${took.toFixed(2)}`)}\n\n`)
    // The first look reads everything, and is made only once: after it, the page would stand still for long.
    const pause = this.#isFirst ? this.#refresh : Math.max(this.#refresh, took / SHARE)
    this.#isFirst = false
    this.#nextAt = before + took + pause
    if (!this.#isFull && !this.#isClosed) this.#sendLater()
  }

  #sendLater(): void {
    this.#timer = setTimeout(this.#send, Math.max(1, this.#nextAt - performance.now()))
    this.#timer.unref()
  }
}

/** The files of the frames of these stacks. */
export function filesOf(stacks: readonly StackData[]): Set<string> {
  const files = new Set<string>()
  for (const { frames } of stacks) for (const { file } of frames) if (file !== undefined) files.add(file)
  return files
}

/** The working directory; it may have been removed. */
function folderNow(): string {
  try {
    return process.cwd()
  } catch {
    return ''
  }
}
