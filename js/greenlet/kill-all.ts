/**
 * `Greenlet.killAll()`: ends all greenlets of the thread.
 */

import { GreenletError, isExit, typeError, rangeError } from '../common/errors.ts'
import { checkOptions, LONGEST_MS } from '../common/options.ts'
import { immediate } from '../common/turns.ts'
import { describe, NativePromise } from '../common/values.ts'
import { quoted } from '../common/text.ts'
import { endOf, killRecord } from '../core/kill.ts'
import { finishEnded } from '../core/lifecycle.ts'
import { DEAD, type GreenletRecord } from '../core/record.ts'
import { registeredRecords } from '../core/registry.ts'
import { main, thread } from '../core/thread.ts'

/**
 * The options of `Greenlet.killAll()`.
 *
 * @example
 * ```js
 * await Greenlet.killAll({ grace: 5000 }) // []
 * ```
 */
export interface KillAllOptions {
  /** Milliseconds that greenlets get to end, from 0. Default: 1000. */
  readonly grace?: number | undefined
}

const DEFAULT_GRACE_MS = 1000
/** How often it is looked for greenlets that cleanups have made. */
const STEP_MS = 20
/** How often that is done at once, in case each cleanup makes a new greenlet. */
const MOST_ROUNDS = 100

/** See `Greenlet.killAll`. */
export function killAll(options: unknown): unknown[] | Promise<unknown[]> {
  const grace = checkGrace(options)
  finishEnded()
  const { current } = thread
  const killing = new Killing(current)
  // In a handler of 'exit', the event loop is over.
  if (current !== main && (process as { _exiting?: boolean })._exiting !== true) {
    // Main does it. A greenlet that refuses by a switch to main would not come back to the caller.
    thread.wait!(
      new NativePromise((resolve) => {
        immediate(() => {
          killing.kill()
          resolve(killing.finish(grace) as Promise<never>)
        })
      }),
    )
    return killing.errors
  }
  killing.kill()
  return current === main ? killing.finish(grace) : killing.result(grace)
}

class Killing {
  readonly errors: unknown[] = []
  readonly #caller: GreenletRecord
  readonly #seen = new Set<GreenletRecord>()
  /** Those of them that were being ended before: another kill would interrupt their cleanup. */
  readonly #spared = new Set<GreenletRecord>()

  readonly #settle = (threw: boolean, error: unknown): void => {
    if (threw && !isExit(error)) this.errors.push(error)
  }

  constructor(caller: GreenletRecord) {
    this.#caller = caller
  }

  /** Those that are to end, the latest first, in the order in which one stack would unwind. */
  living(): GreenletRecord[] {
    finishEnded()
    return registeredRecords()
      .filter((record) => record !== main && record !== this.#caller && record !== thread.current)
      .toReversed()
  }

  /** Kills those that it has not seen yet, with those that are made meanwhile. */
  kill(): void {
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const found = this.living().filter((record) => !this.#seen.has(record))
      if (found.length === 0) return
      for (const record of found) {
        this.#seen.add(record)
        if (record.ending === undefined || record.ending.isPending) this.#kill(record)
        else this.#spared.add(record)
        // An error that it ends with later would be thrown on main.
        if (record.state !== DEAD) record.settle ??= this.#settle
      }
    }
  }

  #kill(record: GreenletRecord): void {
    try {
      killRecord(record)
    } catch (error) {
      // One that refuses may end in time.
      if (record.state === DEAD) this.errors.push(error)
    }
  }

  /** Waits until all have ended, or for `grace` milliseconds. */
  async finish(grace: number): Promise<unknown[]> {
    const end = performance.now() + grace
    for (;;) {
      const left = end - performance.now()
      const living = this.living()
      if (living.length === 0 || left <= 0) return this.result(grace)
      await withLimit(NativePromise.all(living.map(endOf)), Math.min(left, STEP_MS))
      this.kill()
    }
  }

  /** Kills those that were spared, and gives the errors, with one for each that is alive. */
  result(grace: number): unknown[] {
    for (const record of this.living()) if (this.#spared.has(record)) this.#kill(record)
    for (const record of this.living()) {
      if (record.settle === this.#settle) record.settle = undefined
      this.errors.push(
        new GreenletError(
          'ERR_GREENLET_KILL_REFUSED',
          `greenlet ${quoted(record.name)} is still alive ${grace} ms after killAll(): it still cleans up, or it caught the ` +
            'GreenletExit and went on; give it more time by killAll({ grace }), or let it end after a GreenletExit',
        ),
      )
    }
    return this.errors
  }
}

function withLimit(promise: Promise<unknown>, ms: number): Promise<unknown> {
  const { realm } = thread
  return new NativePromise((resolve) => {
    const timer = realm.setTimeout(resolve, ms)
    void promise.then(() => {
      realm.clearTimeout(timer)
      resolve(undefined)
    })
  })
}

function checkGrace(options: unknown): number {
  if (options === undefined) return DEFAULT_GRACE_MS
  const { grace } = checkOptions<KillAllOptions>('killAll()', options, ['grace'])
  if (grace === undefined) return DEFAULT_GRACE_MS
  if (typeof grace !== 'number' || Number.isNaN(grace)) {
    throw typeError(`the grace of killAll() is a number of milliseconds, not ${describe(grace)}`)
  }
  if (grace < 0 || grace > LONGEST_MS) {
    throw rangeError(`the grace of killAll() is 0 to ${LONGEST_MS} milliseconds, not ${grace}`)
  }
  return grace
}
