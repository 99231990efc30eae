/**
 * `greenlets/watchdog`: tells what runs while the event loop of a thread is blocked.
 *
 * ```js
 * import { watch } from 'greenlets/watchdog'
 *
 * watch({ after: 200 })
 * ```
 */

import { setInterval } from 'node:timers'
import { isMainThread, MessageChannel, receiveMessageOnPort, threadId, Worker } from 'node:worker_threads'
import { rangeError, typeError } from '../common/errors.ts'
import { checkOptions } from '../common/options.ts'
import { describe } from '../common/values.ts'
import { Greenlet, UnsupportedRuntimeError } from '../engine.ts'
import { addon, location } from '../native/addon.ts'
import type { BlockedStack, Paused, Sample, WatcherData } from './protocol.ts'
import { runWatcher } from './watcher.ts'

export type { BlockedStack, WatchedFrame } from './protocol.ts'

const DEFAULT_AFTER = 200
/** Below, the beats would take more than 1 % of a processor. */
const LEAST_AFTER = 100
/** The longest time of Node's timers. */
const MOST_AFTER = 2 ** 31 - 1
/** Beats in the time `after`. */
const BEATS = 3
/** The key, on the global object of Node's own realm, of the function that names the running greenlet. */
const QUESTION = 'greenlets.watchdog'
const OPTIONS = ['after', 'print', 'report'] as const

/**
 * A time during which the event loop of a thread was blocked.
 *
 * @example
 * ```js
 * import { watch } from 'greenlets/watchdog'
 * const dog = watch({ print: false, report: ({ ms, stacks }) => console.log(ms, stacks.at(-1)?.greenlet?.name) })
 * dog.close()
 * ```
 */
export interface Blocked {
  /** Milliseconds from the last turn of the event loop that was seen to the next one. */
  readonly ms: number
  /** `threadId` of the thread; 0 is the main thread. */
  readonly threadId: number
  /** What ran meanwhile: after `after` ms, after twice that time, four times, and so on. */
  readonly stacks: readonly BlockedStack[]
}

/**
 * The options of {@link watch}.
 *
 * @example
 * ```js
 * import { watch } from 'greenlets/watchdog'
 * const options = { after: 500, print: false, report: ({ ms }) => console.log(`blocked for ${ms} ms`) }
 * watch(options).close()
 * ```
 */
export interface WatchOptions {
  /** Milliseconds without a turn of the event loop, from 100, after which the thread counts as blocked. Default: 200. */
  readonly after?: number | undefined
  /**
   * Whether the watching thread writes each stack to standard error as soon as it has it, also where the block never
   * ends. Default: true.
   */
  readonly print?: boolean | undefined
  /**
   * Called on the watched thread when its event loop turns again or the program exits, once for each block. It runs on
   * main, so it must not `wait()`. What it throws is an uncaught exception, as in a timer.
   */
  readonly report?: ((blocked: Blocked) => void) | undefined
}

/**
 * What {@link watch} returns.
 *
 * @example
 * ```js
 * import { watch } from 'greenlets/watchdog'
 * const dog = watch()
 * dog.close()
 * ```
 */
export interface Watchdog extends Disposable {
  /** Ends the watching thread. May be called again. */
  close(): void
}

/**
 * Watches this thread: if its event loop does not turn for `after` milliseconds, another thread stops it for a moment, reads
 * which greenlet runs and its stack, and lets it go on. The thread may be a Worker; each thread calls `watch()` for itself.
 *
 * - It keeps no process and no Worker alive.
 * - A stack is read after `after` ms, after twice that time, four times, and so on, and written to standard error at once.
 *   `report` is called afterwards.
 * - A thread in native code cannot be stopped. Then the report has the time and no frames.
 * - It uses Node's inspector. While a stack is read, a debugger that is attached sees a short pause. A thread that a debugger
 *   has stopped is left alone.
 *
 * @example
 * ```js
 * import { watch } from 'greenlets/watchdog'
 * const dog = watch({ after: 300, report: ({ ms, stacks }) => console.log(ms, stacks) })
 * dog.close()
 * ```
 *
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
 * @throws UnsupportedRuntimeError where Node was built without the inspector, or its permissions deny it
 * @throws Error `ERR_ACCESS_DENIED`, Node's own, where its permissions deny Workers; start Node with `--allow-worker`
 */
export function watch(options: WatchOptions = {}): Watchdog {
  return new Watch(checked(options))
}

class Watch implements Watchdog {
  readonly #beats = new BigInt64Array(new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT))
  readonly #port
  readonly #worker: Worker
  readonly #timer: NodeJS.Timeout
  readonly #after: number
  readonly #report: ((blocked: Blocked) => void) | undefined
  readonly #beat = (): void => this.#tick()
  /** The last beat. */
  #last = process.hrtime.bigint()
  #closed = false

  constructor({ after, print, report }: Required<WatchOptions>) {
    requireInspector()
    this.#after = after!
    this.#report = report
    const interval = Math.ceil(after! / BEATS)
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    this.#beats[0] = this.#last
    installQuestion()
    const data: WatcherData = {
      beats: this.#beats,
      port: port2,
      after: after!,
      interval,
      print: print!,
      threadId,
      isMainThread,
      home: homeOf(location),
      question: `globalThis[Symbol.for('${QUESTION}')]?.()`,
    }
    // Without the flags and preloads of the program, which would run there too.
    this.#worker = new Worker(watcherText(), {
      eval: true,
      name: 'greenlets watchdog',
      env: {},
      execArgv: [],
      trackUnmanagedFds: false,
      workerData: data,
      transferList: [port2],
    })
    this.#worker.unref()
    this.#worker.on('error', (error) => {
      this.close()
      const hint =
        data.home === undefined ? '; leave the package greenlets out of the bundle if that has changed it' : ''
      process.emitWarning(`watch() has ended: ${String(error)}${hint}`, 'GreenletWarning')
    })
    this.#timer = setInterval(this.#beat, interval).unref()
    process.on('exit', this.#beat)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#timer)
    process.off('exit', this.#beat)
    this.#port.close()
    void this.#worker.terminate()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #tick(): void {
    const [now, last] = [process.hrtime.bigint(), this.#last]
    this.#last = now
    Atomics.store(this.#beats, 0, now)
    let ms = Math.round(Number(now - last) / 1e6)
    const stacks: BlockedStack[] = []
    let paused = false
    for (let received = receiveMessageOnPort(this.#port); received !== undefined;) {
      const { beat, ...stack } = received.message as Sample | Paused
      if ('ms' in stack) stacks.push(stack)
      else if (beat === last) paused = true
      // The stack was read at the very end of a block, and the event loop has turned since.
      if ('ms' in stack && beat !== last) ms = Math.max(ms, stack.ms)
      received = receiveMessageOnPort(this.#port)
    }
    if (stacks.length > 0 || (!paused && ms >= this.#after * (1 + 1 / BEATS))) this.#report?.({ ms, threadId, stacks })
  }
}

/**
 * The program of the watching thread. Bundlers that keep the names of functions put calls of a helper into them, of which
 * nothing but the first argument matters; minified, it may have any name. So each name that is no global one is such a helper.
 */
function watcherText(): string {
  const helpers =
    "{ has: (_, name) => !(name in globalThis), get: (_, name) => typeof name === 'string' && ((fn) => fn) }"
  return `with (new Proxy({}, ${helpers})) (${String(runWatcher)})(require('node:worker_threads').workerData)`
}

/** Without the permission, Node aborts the process when a Worker connects to the inspector. */
function requireInspector(): void {
  if (!process.features.inspector) {
    throw new UnsupportedRuntimeError('watch() needs the inspector, and this Node.js was built without it; use another')
  }
  const { permission } = process as { permission?: { has(scope: string): boolean } }
  if (permission !== undefined && !permission.has('inspector')) {
    throw new UnsupportedRuntimeError(
      "watch() needs the inspector, which Node's permissions deny; start Node with --allow-inspector (Node.js 26), or without --permission",
    )
  }
}

/** Where the debugger asks for the running greenlet. The question is asked while the thread is paused, so it only reads. */
function installQuestion(): void {
  const realm = addon.nodeRealm?.() ?? globalThis
  const value = (): BlockedStack['greenlet'] => {
    const { name, serial } = Greenlet.current
    return { name, serial }
  }
  // Where the global object is frozen, the reports do without names.
  Reflect.defineProperty(realm, Symbol.for(QUESTION), { value, configurable: true })
}

/** The folder of the package, with a slash; undefined in a bundle, where the package's code is in the program's file. */
function homeOf(loader: string): string | undefined {
  const file = loader.startsWith('file:') ? decodeURIComponent(new URL(loader).pathname) : loader
  return /^(.*\/)native\/load\.cjs$/.exec(file)?.[1]
}

function checked(options: unknown): Required<WatchOptions> {
  const { after = DEFAULT_AFTER, print = true, report } = checkOptions<WatchOptions>('watch()', options, OPTIONS)
  if (typeof after !== 'number') throw typeError(`after must be a number, not ${describe(after)}`)
  if (!(after >= LEAST_AFTER && after <= MOST_AFTER)) {
    throw rangeError(`after must be ${LEAST_AFTER} to ${MOST_AFTER} milliseconds, not ${after}`)
  }
  if (typeof print !== 'boolean') throw typeError(`print must be true or false, not ${describe(print)}`)
  if (report !== undefined && typeof report !== 'function') {
    throw typeError(`report must be a function, not ${describe(report)}`)
  }
  return { after, print, report }
}
