/**
 * The events of one open page: a look at the thread, again and again, and what has changed since. A page that does not read gets
 * no more until it does; and a look that takes long makes the next one later, so that all looks of a page take at most 2 % of the time.
 */

import { threadId } from 'node:worker_threads'
import { version } from '../common/version.ts'
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
  #timer: NodeJS.Timeout | undefined
  #isClosed = false
  #isFull = false

  constructor(extent: Extent, refresh: number, write: (text: string) => boolean, end: () => void) {
    this.#live = makeLive(extent)
    this.#refresh = refresh
    this.#write = write
    this.#end = end
  }

  /** Sends the first events. */
  start(): void {
    this.#send()
  }

  /** What was written is read. */
  drained(): void {
    if (!this.#isFull) return
    this.#isFull = false
    this.#send()
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
    const { pid, versions } = process
    const about = { time: Date.now(), pid, threadId, folder: `${folderNow()}/`, node: versions.node, version }
    const refresh: Refresh = { ...changes, ...about, took: 0 }
    const text = JSON.stringify(refresh)
    const took = performance.now() - before
    this.#isFull = !this.#write(`event: refresh\ndata: ${text.replace('"took":0', `"took":${took.toFixed(2)}`)}\n\n`)
    if (this.#isFull || this.#isClosed) return
    this.#timer = setTimeout(this.#send, Math.max(this.#refresh, took / SHARE))
    this.#timer.unref()
  }
}

/** The working directory; it may have been removed. */
function folderNow(): string {
  try {
    return process.cwd()
  } catch {
    return ''
  }
}
