/**
 * Records switches as a timeline, in the Trace Event Format that ui.perfetto.dev and chrome://tracing open: one track for each greenlet,
 * with a slice for each time that it ran.
 *
 * A switch is noted as numbers. They become text, and are written, a few thousand at a time, so a recording takes bounded memory.
 */

import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import process from 'node:process'
import { threadId } from 'node:worker_threads'
import { rangeError, typeError } from '../common/errors.ts'
import { checkOptions } from '../common/options.ts'
import { describe } from '../common/values.ts'
import { Greenlet, gettrace, settrace, refuseSecondCopy } from '../engine.ts'
import type { TraceFunction } from '../greenlet/tracing.ts'

/**
 * The options of {@link record}. One of `file` and `write` is needed.
 *
 * @example
 * ```js
 * import { record } from 'greenlets/inspect'
 * const parts = []
 * const recording = record({ write: (text) => parts.push(text), limit: 10_000 })
 * recording.stop()
 * JSON.parse(parts.join(''))[0].name // 'process_name'
 * ```
 */
export interface RecordOptions {
  /** The file that is written. It is replaced where it exists. */
  readonly file?: string | undefined
  /** Gets the texts of the recording, one after the other; together they are JSON. */
  readonly write?: ((text: string) => void) | undefined
  /** After so many switches the recording ends by itself. Default: 1,000,000, which are about 150 MB. */
  readonly limit?: number | undefined
}

/**
 * A recording that {@link record} has begun.
 *
 * @example
 * ```js
 * import { record } from 'greenlets/inspect'
 * const recording = record({ write: () => {} })
 * await spawn(() => sleep(1))
 * recording.stop()
 * recording.switches // 4
 * ```
 */
export interface Recording {
  /** How many switches were recorded. */
  readonly switches: number
  /** How many were not, because the `limit` was reached or the recording could not be written. */
  readonly omitted: number
  /**
   * Ends the recording and writes what is left. Can be called again.
   *
   * @throws the error of Node.js or of `write` with which the recording has ended, where it could not be written. The switch that was
   * recorded then does not throw it.
   */
  stop(): void
}

/** Switches that are noted before they are written. */
const BATCH = 4096
/** Numbers of one: when, from, to, whether an error was thrown. */
const WORDS = 4
const LONGEST_NAME = 200

// The program may replace these later, and a subclass may have a name of its own.
const { pid } = process
const { stringify } = JSON
const nameGetter = Object.getOwnPropertyDescriptor(Greenlet.prototype, 'name')!.get!
const nameOf = Function.prototype.call.bind(nameGetter) as (greenlet: Greenlet) => string

/**
 * Records the switches of this thread from now on, until `stop()`, as a timeline for ui.perfetto.dev or chrome://tracing: each greenlet is a
 * track, and each time that it runs is a slice. An error that a switch throws is a mark.
 *
 * It is a function for `settrace()`: while it records, a switch takes about 0.2 microseconds more. The trace function of the program is
 * called as before.
 *
 * @example
 * ```js
 * import { record } from 'greenlets/inspect'
 * const recording = record({ file: '/tmp/switches.json' })
 * new Greenlet(() => Greenlet.main.switch()).switch()
 * recording.stop()
 * ```
 *
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
 * @throws GreenletError `ERR_GREENLET_SECOND_COPY`
 * @throws Error of Node.js, where the file cannot be written
 */
export function record(options: RecordOptions): Recording {
  const {
    file,
    write,
    limit = 1_000_000,
  } = checkOptions<RecordOptions>('record()', options, ['file', 'write', 'limit'])
  if ((file === undefined) === (write === undefined))
    throw typeError('record() needs one of its options file and write')
  if (file !== undefined && typeof file !== 'string') {
    throw typeError(`the option file of record() is a path, not ${describe(file)}`)
  }
  if (write !== undefined && typeof write !== 'function') {
    throw typeError(`the option write of record() is a function, not ${describe(write)}`)
  }
  if (typeof limit !== 'number' || Number.isNaN(limit)) {
    throw typeError(`the option limit of record() is a number, not ${describe(limit)}`)
  }
  if (limit < 1) throw rangeError(`the option limit of record() is a number from 1 on, not ${limit}`)
  // Before the file is emptied.
  refuseSecondCopy()
  const sink = file === undefined ? { write: write!, close: () => {} } : fileSink(file)
  try {
    return new Recorder(sink, limit)
  } catch (error) {
    sink.close()
    throw error
  }
}

interface Sink {
  write(text: string): void
  close(): void
}

function fileSink(file: string): Sink {
  const descriptor = openSync(file, 'w')
  let written = 0
  let isOpen = true
  return {
    write(text) {
      const all = Buffer.from(text)
      try {
        for (let bytes = all; bytes.length > 0;) bytes = bytes.subarray(writeSync(descriptor, bytes))
      } catch (error) {
        // A part of an event would make the whole file unreadable.
        if (written > 0) ftruncateSync(descriptor, written)
        throw error
      }
      written += all.length
    },
    close() {
      if (!isOpen) return
      isOpen = false
      closeSync(descriptor)
    },
  }
}

/** The recorder of each trace function that is one. */
const recorders = new WeakMap<TraceFunction, Recorder>()

class Recorder implements Recording {
  readonly #sink: Sink
  readonly #limit: number
  readonly #noted = new Float64Array(BATCH * WORDS)
  #count = 0
  /** Which greenlets have a track, and those that need one, with their names. */
  readonly #tracks = new Set<number>()
  #newTracks: [number, string][] = []
  readonly #previous: TraceFunction | null
  /** The track on which a slice is open. */
  #running = Greenlet.current.serial
  #isOver = false
  #isStopped = false
  /** The error with which it has ended. */
  #failure: { readonly error: unknown } | undefined
  switches = 0
  omitted = 0

  constructor(sink: Sink, limit: number) {
    this.#sink = sink
    this.#limit = limit
    this.#track(Greenlet.current)
    const process_ = metadata('process_name', 0, threadId === 0 ? 'main thread' : `Worker ${threadId}`)
    // Without a closing bracket it is complete, too: a recording may end with its process.
    this.#sink.write(`[${process_}${this.#newTracksText()}${slice('B', now(), this.#running)}`)
    process.once('exit', this.#flush)
    recorders.set(this.#trace, this)
    this.#previous = settrace(this.#trace)
  }

  stop(): void {
    if (!this.#isOver) this.#end()
    this.#isStopped = true
    // The program may have set another one, which may call this one.
    if (gettrace() === this.#trace) settrace(this.#before())
    if (this.#failure !== undefined) throw this.#failure.error
  }

  /** The trace function that is called besides this one. A recording that began earlier may have been stopped meanwhile. */
  #before(): TraceFunction | null {
    let before = this.#previous
    for (;;) {
      const recorder = before === null ? undefined : recorders.get(before)
      if (recorder === undefined || !recorder.#isStopped) return before
      before = recorder.#previous
    }
  }

  readonly #trace: TraceFunction = (kind, switched) => {
    if (!this.#isOver) {
      try {
        this.#note(kind === 'throw', switched.origin, switched.target)
      } catch (error) {
        this.#fail(error)
      }
    } else if (this.omitted > 0) this.omitted++
    this.#previous?.(kind, switched)
  }

  #note(threw: boolean, origin: Greenlet, target: Greenlet): void {
    if (this.switches >= this.#limit) {
      this.omitted++
      this.#end()
      return
    }
    this.switches++
    this.#running = target.serial
    this.#track(origin)
    this.#track(target)
    const at = this.#count * WORDS
    this.#noted[at] = now()
    this.#noted[at + 1] = origin.serial
    this.#noted[at + 2] = this.#running
    this.#noted[at + 3] = Number(threw)
    if (++this.#count === BATCH) this.#flush()
  }

  /** Makes a track for a greenlet that has none. */
  #track(greenlet: Greenlet): void {
    const { serial } = greenlet
    if (this.#tracks.has(serial)) return
    this.#tracks.add(serial)
    this.#newTracks.push([serial, nameOf(greenlet)])
  }

  #newTracksText(): string {
    let text = ''
    for (const [serial, name] of this.#newTracks) {
      text += `,\n${metadata('thread_name', serial, name)},\n${metadata('thread_sort_index', serial, serial)}`
    }
    this.#newTracks = []
    return text
  }

  /** Also at the end of the process, which a recording may not outlive. */
  readonly #flush = (): void => {
    const count = this.#count
    let text = this.#newTracksText()
    for (let i = 0; i < count; i++) {
      const [ts, from, to, threw] = this.#noted.subarray(i * WORDS, (i + 1) * WORDS) as unknown as [
        number,
        number,
        number,
        number,
      ]
      text += slice('E', ts, from) + slice('B', ts, to)
      if (threw) text += `,\n${event('error', 'i', ts, to)},"s":"t"}`
    }
    // Before the text is written: `write` may switch, and may stop the recording.
    this.#count = 0
    if (text === '') return
    try {
      this.#sink.write(text)
    } catch (error) {
      this.#fail(error, count)
    }
  }

  #end(): void {
    this.#isOver = true
    process.off('exit', this.#flush)
    this.#flush()
    if (this.#failure !== undefined) return
    try {
      this.#sink.write(`${slice('E', now(), this.#running)}\n]\n`)
      this.#sink.close()
    } catch (error) {
      this.#fail(error)
    }
  }

  /**
   * Ends the recording. The code that switches knows nothing of it, so only `stop()` throws the error.
   *
   * @param lost how many switches were to be written
   */
  #fail(error: unknown, lost = this.#count): void {
    if (this.#failure !== undefined) return
    this.#isOver = true
    this.#failure = { error }
    this.#count = 0
    this.switches -= lost
    this.omitted += lost
    process.off('exit', this.#flush)
    try {
      this.#sink.close()
    } catch {
      // Closing it may have been what failed.
    }
  }
}

/** Microseconds, as the format wants. */
function now(): number {
  return performance.now() * 1000
}

/** The beginning or the end of a slice, after another event. */
function slice(phase: 'B' | 'E', ts: number, tid: number): string {
  return `,\n${event('running', phase, ts, tid)}}`
}

/** Without the brace at its end. As text, because a `toJSON` of the program could change an object. */
function event(name: string, phase: string, ts: number, tid: number, category = 'greenlets'): string {
  return `{"name":"${name}","ph":"${phase}","ts":${ts},"tid":${tid},"cat":"${category}","pid":${pid}`
}

function metadata(name: string, tid: number, value: string | number): string {
  const args = typeof value === 'number' ? `"sort_index":${value}` : `"name":${stringify(value.slice(0, LONGEST_NAME))}`
  return `${event(name, 'M', 0, tid, '__metadata')},"args":{${args}}}`
}
