/**
 * `greenlets/dump`: what all greenlets are doing, as data or printed.
 *
 * ```js
 * import { dump } from 'greenlets/dump'
 *
 * console.error(dump({ format: 'text' }))
 * ```
 */

import { constants } from 'node:os'
import { inspect } from 'node:util'
import { isMainThread } from 'node:worker_threads'
import { GreenletError, rangeError, typeError } from './common/errors.ts'
import { checkOptions } from './common/options.ts'
import { describe } from './common/values.ts'
import { dumpOf } from './dump/collect.ts'
import type { DumpData, ThreadData } from './dump/data.ts'
import { DEFAULT_EXTENT, type Extent } from './dump/extent.ts'
import { writeOnError } from './dump/on-error.ts'
import { type DumpFormat, FORMATS, print } from './dump/print.ts'
import { writeReport } from './dump/signal.ts'
import { collectOthers } from './dump/threads.ts'
import { collectThread, publishEvents as enginePublishEvents, recordOrigins as engineRecordOrigins } from './engine.ts'

export type { DeadlockData, DumpData, FrameLine, GreenletData, StackData, ThreadData, WaitData } from './dump/data.ts'
export type { DumpFormat } from './dump/print.ts'

const DEFAULT_PATIENCE = 1000
const MOST = 1e9
const UNCATCHABLE: ReadonlySet<string> = new Set(['SIGKILL', 'SIGSTOP'])
const OPTIONS = ['limit', 'frames', 'workers', 'patience', 'format'] as const

/**
 * The options of {@link dump}. Each may be left out, or undefined.
 *
 * @example
 * ```js
 * import { dump } from 'greenlets/dump'
 * const options = { limit: 100, frames: 20, format: 'text' }
 * dump(options).split('\n').length > 1 // true
 * ```
 */
export interface DumpOptions {
  /** At most so many greenlets of each thread; the dump says how many are left out. Default: 10000. */
  readonly limit?: number | undefined
  /** At most so many frames of each stack; 0 for no stacks. Default: 100. */
  readonly frames?: number | undefined
  /** Whether the dump has all threads of the process. It is a promise then. Default: false. */
  readonly workers?: boolean | undefined
  /**
   * With `workers`: milliseconds after which a thread that does not turn its event loop is stopped for a moment to be read, and
   * is reported as silent if that does not work either. Default: 1000.
   */
  readonly patience?: number | undefined
  /** How it is printed; the result is a text then. Default: it is a {@link Dump}. */
  readonly format?: DumpFormat | undefined
}

/**
 * What {@link dump} gives: data, which `print` makes a text of.
 *
 * @example
 * ```js
 * import { dump } from 'greenlets/dump'
 * const made = dump()
 * made.toJSON().version // 1
 * made.print('list').includes('main') // true
 * ```
 */
export class Dump {
  readonly #data: DumpData

  /** @internal */
  constructor(data: DumpData) {
    this.#data = data
  }

  /** The data; see {@link DumpData}. */
  toJSON(): DumpData {
    return this.#data
  }

  /**
   * Prints it.
   *
   * @throws TypeError `ERR_GREENLET_INVALID_ARG`
   */
  print(format: DumpFormat): string {
    return print(this.#data, checkFormat(format))
  }

  /** As `print('text')`. */
  toString(): string {
    return print(this.#data, 'text')
  }

  /** For the console. */
  [inspect.custom](): string {
    return this.toString()
  }
}

/**
 * Says what each greenlet of this thread is doing: its state, what it waits for, and its stack; and which of them wait for each
 * other. It runs no greenlet and calls no code of the program.
 *
 * What it gives is data; see {@link DumpData}. With `format` it is a text: `'text'`, `'tree'`, `'spawners'`, `'list'`, `'json'` or
 * `'html'`, which is a page in one file. With `workers` it is a promise, and has all threads of the process that use greenlets: they
 * are asked by Node's inspector within the process, which opens no port.
 *
 * In names and stacks, control characters are escaped and long texts are cut off, so a dump is safe to print.
 *
 * @example
 * ```js
 * import { dump } from 'greenlets/dump'
 * const g = spawn(function worker() {
 *   sleep(60_000)
 * })
 * await new Promise(setImmediate)
 * const { greenlets } = dump().toJSON().threads[0]
 * greenlets.map(({ name, state }) => `${name} ${state}`).join() // 'main running,worker suspended'
 * g.kill()
 * ```
 *
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
 * @throws UnsupportedRuntimeError with `workers`, where Node has no inspector or its permissions deny it
 */
export function dump(options: DumpOptions & { readonly workers: true; readonly format: DumpFormat }): Promise<string>
export function dump(options: DumpOptions & { readonly workers: true }): Promise<Dump>
export function dump(options: DumpOptions & { readonly format: DumpFormat }): string
export function dump(options?: DumpOptions): Dump
export function dump(options: DumpOptions = {}): Dump | string | Promise<Dump | string> {
  const { extent, workers, patience, format } = checked(options)
  const finish = (threads: ThreadData[]): Dump | string => {
    const data = dumpOf(threads)
    return format === undefined ? new Dump(data) : print(data, format)
  }
  const own = collectThread(extent)
  if (!workers) return finish([own])
  return collectOthers(extent, patience).then((others) => {
    const all = [own, ...others]
    return finish(all.toSorted((a, b) => a.threadId - b.threadId))
  })
}

/**
 * From now on each new greenlet keeps which greenlet has made it and where, for `spawner` and `site` in dumps, and each wait keeps
 * since when, for `since`. To keep it below a microsecond for each new greenlet, only the first 1000 and then every sixteenth
 * one keep where; that keeps the functions of the innermost frames alive as long as the greenlet. `recordOrigins(false)` ends it. The environment variable `GREENLETS_RECORD=1` does the same from
 * the start.
 *
 * @example
 * ```js
 * import { dump, recordOrigins } from 'greenlets/dump'
 * recordOrigins()
 * const g = spawn(() => {})
 * const { spawner } = dump().toJSON().threads[0].greenlets.find(({ id }) => id === g.serial)
 * spawner.name // 'main'
 * recordOrigins(false)
 * ```
 *
 * @throws TypeError `ERR_GREENLET_INVALID_ARG`
 */
export function recordOrigins(on: boolean = true): void {
  engineRecordOrigins(on)
}

/**
 * From now on each greenlet that is made, and each one that has ended, is a message of `node:diagnostics_channel`: `greenlets:new` and
 * `greenlets:end`, with `{ id, name, parent, threadId }`. Subscribers are called in a microtask. `publishEvents(false)` ends it.
 *
 * @example
 * ```js
 * import { subscribe } from 'node:diagnostics_channel'
 * import { publishEvents } from 'greenlets/dump'
 * const ended = []
 * subscribe('greenlets:end', ({ name }) => ended.push(name))
 * publishEvents()
 * await spawn(function job() {})
 * ended.join() // 'job'
 * publishEvents(false)
 * ```
 *
 * @throws TypeError `ERR_GREENLET_INVALID_ARG`
 */
export function publishEvents(on: boolean = true): void {
  enginePublishEvents(on)
}

/**
 * The options of {@link writeDumpOnError}. Each may be left out, or undefined.
 *
 * @example
 * ```js
 * import { writeDumpOnError } from 'greenlets/dump'
 * const remove = writeDumpOnError({ folder: '/tmp', format: 'html' })
 * remove()
 * ```
 */
export interface DumpOnErrorOptions {
  /** Where the file is written. It must exist. Default: the working directory, as it is then. */
  readonly folder?: string | undefined
  /** How the dump is printed. Default: `'json'`. */
  readonly format?: DumpFormat | undefined
}

/**
 * From now on, when an error that nothing catches is about to end this thread, a dump of its greenlets is written to a new file, of which the
 * name is printed to standard error, as `--report-uncaught-exception` of Node.js does. Returns a function that ends this.
 *
 * @example
 * ```js
 * import { writeDumpOnError } from 'greenlets/dump'
 * const remove = writeDumpOnError()
 * remove()
 * ```
 *
 * @throws TypeError `ERR_GREENLET_INVALID_ARG`
 */
export function writeDumpOnError(options: DumpOnErrorOptions = {}): () => void {
  const of = 'writeDumpOnError()'
  const { folder = '', format = 'json' } = checkOptions<DumpOnErrorOptions>(of, options, ['folder', 'format'])
  if (typeof folder !== 'string') throw typeError(`the option folder of ${of} is a path, not ${describe(folder)}`)
  checkFormat(format)
  return writeOnError(folder, ENDINGS[format] ?? 'txt', () => dump({ format }))
}

/** Of file names; other formats are plain text. */
const ENDINGS: Partial<Record<DumpFormat, string>> = { json: 'json', html: 'html' }

/**
 * The options of {@link installDumpSignal}. Each may be left out, or undefined.
 *
 * @example
 * ```js
 * import { installDumpSignal } from 'greenlets/dump'
 * const remove = installDumpSignal('SIGUSR2', { format: 'list', write: (text) => console.log(text) })
 * remove()
 * ```
 */
export interface DumpSignalOptions {
  /** How the dump is printed. Default: `'text'`. */
  readonly format?: DumpFormat | undefined
  /** Gets the text. Default: it is written to standard error. */
  readonly write?: ((text: string) => void) | undefined
}

/**
 * From now on, when the process gets the signal, it prints a dump of all its threads. Returns a function that ends this.
 *
 * `node --import greenlets/dump-on-signal app.js`, or `NODE_OPTIONS='--import greenlets/dump-on-signal'`, does it for `SIGUSR2` without a
 * change of the program.
 *
 * @example
 * ```js
 * import { installDumpSignal } from 'greenlets/dump'
 * const remove = installDumpSignal('SIGUSR2')
 * remove()
 * ```
 *
 * @throws TypeError `ERR_GREENLET_INVALID_ARG`
 * @throws GreenletError `ERR_GREENLET_FORBIDDEN` in a Worker, which gets no signals
 */
export function installDumpSignal(signal: NodeJS.Signals = 'SIGUSR2', options: DumpSignalOptions = {}): () => void {
  // A listener for another name would never be called.
  if (typeof signal !== 'string' || !Object.hasOwn(constants.signals, signal)) {
    throw typeError(`installDumpSignal() takes the name of a signal, such as 'SIGUSR2', not ${describe(signal)}`)
  }
  if (UNCATCHABLE.has(signal))
    throw typeError(`installDumpSignal() takes a signal that a process can catch, not ${signal}`)
  const of = 'installDumpSignal()'
  const { format = 'text', write = writeReport } = checkOptions<DumpSignalOptions>(of, options, ['format', 'write'])
  checkFormat(format)
  if (typeof write !== 'function') throw typeError(`the option write of ${of} takes a function, not ${describe(write)}`)
  if (!isMainThread) {
    throw new GreenletError(
      'ERR_GREENLET_FORBIDDEN',
      'installDumpSignal() was called in a Worker, which gets no signals; call it on the main thread: the dump has all Workers',
    )
  }
  const listener = (): void => {
    // Without the inspector there is a dump of this thread.
    const all = Promise.resolve().then(() => dump({ workers: true, format }))
    void all.catch(() => dump({ format })).then(write)
  }
  process.on(signal, listener)
  return () => void process.off(signal, listener)
}

function checked(options: unknown): {
  readonly extent: Extent
  readonly workers: boolean
  readonly patience: number
  readonly format: DumpFormat | undefined
} {
  const given = checkOptions<DumpOptions>('dump()', options, OPTIONS)
  const { limit = DEFAULT_EXTENT.limit, frames = DEFAULT_EXTENT.frames, workers = false, format } = given
  const { patience = DEFAULT_PATIENCE } = given
  checkNumber('limit', limit, 1)
  checkNumber('frames', frames, 0)
  checkNumber('patience', patience, 1)
  if (typeof workers !== 'boolean')
    throw typeError(`the option workers of dump() is true or false, not ${describe(workers)}`)
  if (format !== undefined) checkFormat(format)
  // Infinity is no number in JSON.
  const extent = { limit: Math.min(limit, MOST), frames: Math.min(frames, MOST) }
  return { extent, workers, patience, format }
}

function checkNumber(name: string, value: unknown, least: number): void {
  if (typeof value !== 'number' || Number.isNaN(value)) {
    throw typeError(`the option ${name} of dump() is a number, not ${describe(value)}`)
  }
  if (value < least) throw rangeError(`the option ${name} of dump() is a number from ${least} on, not ${value}`)
}

function checkFormat(format: unknown): DumpFormat {
  if (FORMATS.includes(format as DumpFormat)) return format as DumpFormat
  throw typeError(`the format of a dump is one of ${FORMATS.join(', ')}, not ${describe(format)}`)
}
