/** Runs the event loop until greenlets are parked. */

import { setTimeout as realTimeout } from 'node:timers'
import { checkOptions } from '../common/options.ts'
import { immediate } from '../common/turns.ts'
import { quoted } from '../common/text.ts'
import { checkGreenlet, describe, Greenlet, GreenletError, TimeoutError } from '../engine.ts'
import { checkTime } from '../tools/options.ts'
import { checkGaps, checkNames, type FrameName, isParkedAt, nameList } from './parked-at.ts'

// A runner may replace them by fake ones later.
const timeout = realTimeout
const now = process.hrtime.bigint

/** The time that is enough for what a test waits for, also on a slow machine. */
const DEFAULT_MS = 5000
/** For so many turns of the event loop, nothing sleeps between them. */
const QUICK_TURNS = 100
/** After so many turns without a change, nothing will change without timers and I/O. */
const QUIET_TURNS = 3
/** So many greenlets are described in a message. */
const MOST_DESCRIBED = 10

/**
 * The options of {@link settle}.
 *
 * @example
 * ```js
 * await settle({ timeout: 1000 })
 * ```
 */
export interface SettleOptions {
  /** After so many milliseconds it fails. Default: 5000. Fake timers have no effect on it. */
  readonly timeout?: number | undefined
}

/**
 * The options of {@link untilParked}.
 *
 * @example
 * ```js
 * const g = spawn(function job() {
 *   sleep(60_000)
 * })
 * await untilParked(g, { at: ['job'], gaps: false, timeout: 1000 })
 * g.kill()
 * ```
 */
export interface UntilParkedOptions {
  /** The functions in which it is to be suspended, as for `parkedAt()`. Default: anywhere. */
  readonly at?: readonly FrameName[] | undefined
  /** As for `parkedAt()`. */
  readonly gaps?: boolean | undefined
  /** After so many milliseconds it fails. Default: 5000. Fake timers have no effect on it. */
  readonly timeout?: number | undefined
}

/**
 * Runs the event loop until a greenlet is suspended, in the functions that `at` names. Greenlets `wait()` for the promise.
 *
 * @example
 * ```js
 * const g = spawn(function job() {
 *   sleep(60_000)
 * })
 * g.state // 'unstarted'
 * await untilParked(g, { at: ['job'] })
 * g.state // 'suspended'
 * g.kill()
 * ```
 *
 * @throws TimeoutError `ERR_GREENLET_TIMEOUT`, which tells where the greenlet is instead
 * @throws GreenletError `ERR_GREENLET_NOT_PARKED` if the greenlet has ended
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
 */
export async function untilParked(greenlet: Greenlet, options: UntilParkedOptions = {}): Promise<void> {
  const of = 'untilParked()'
  checkGreenlet(of, greenlet)
  const {
    at,
    gaps,
    timeout: limit = DEFAULT_MS,
  } = checkOptions<UntilParkedOptions>(of, options, ['at', 'gaps', 'timeout'])
  const names = at === undefined ? [] : checkNames(of, at)
  const withGaps = checkGaps(of, { gaps })
  checkTime(`the timeout of ${of}`, limit)
  const goal = names.length === 0 ? 'parked' : `parked at ${nameList(names)}`
  for (const turns = new Turns(limit); !isParkedAt(greenlet, names, withGaps); await turns.next()) {
    if (greenlet.dead) {
      throw new GreenletError(
        'ERR_GREENLET_NOT_PARKED',
        `greenlet ${quoted(greenlet.name)} has ended and was not seen ${goal}; look at its result, or make it stop there`,
      )
    }
    if (turns.isLate) {
      throw new TimeoutError(
        `greenlet ${quoted(greenlet.name)} was not ${goal} within ${limit} ms; ${adviceFor(greenlet)}\n${describe(greenlet)}`,
      )
    }
  }
}

function adviceFor({ state }: Greenlet): string {
  if (state === 'unstarted') {
    return 'it has not started: call its switch(), or make it by spawn()'
  }
  return state === 'running'
    ? 'it is the one that runs'
    : 'compare the names with its stack, or give it more time by { timeout }'
}

/**
 * Runs the event loop until all greenlets of the thread have nothing to do: spawned ones have started, and each has ended or is suspended,
 * for some turns. Timers and I/O that take longer are not waited for. Returns the greenlets that are suspended.
 *
 * @example
 * ```js
 * const g = spawn(() => sleep(60_000))
 * const parked = await settle()
 * parked.includes(g) // true
 * g.kill()
 * ```
 *
 * @throws TimeoutError `ERR_GREENLET_TIMEOUT` if some go on and on; it tells which
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
 */
export async function settle(options: SettleOptions = {}): Promise<Greenlet[]> {
  const { timeout: limit = DEFAULT_MS } = checkOptions<SettleOptions>('settle()', options, ['timeout'])
  checkTime('the timeout of settle()', limit)
  const turns = new Turns(limit)
  let before = states()
  for (let quiet = 0; quiet < QUIET_TURNS;) {
    await turns.next()
    const after = states()
    const changed = [...after].filter(([greenlet, state]) => before.get(greenlet) !== state)
    quiet = changed.length === 0 && before.size === after.size ? quiet + 1 : 0
    before = after
    if (quiet > 0 || !turns.isLate) continue
    throw new TimeoutError(
      `greenlets still went on after ${limit} ms; end them before settle(), or give it more time by { timeout }\n` +
        describeAll(changed.map(([greenlet]) => greenlet)),
    )
  }
  return [...before.keys()].filter(({ state }) => state === 'suspended')
}

/** From each greenlet but main to what changes when it goes on. */
function states(): Map<Greenlet, string> {
  const others = Greenlet.all().filter((greenlet) => greenlet !== Greenlet.main)
  return new Map(
    others.map((greenlet) => {
      const { state } = greenlet
      return [greenlet, state === 'suspended' ? `${state} ${greenlet.gr_stack.epoch}` : state]
    }),
  )
}

/** What greenlets are, for a message. */
export function describeAll(greenlets: readonly Greenlet[]): string {
  const shown = greenlets.slice(0, MOST_DESCRIBED).map(describe)
  if (shown.length < greenlets.length) shown.push(`... and ${greenlets.length - shown.length} more`)
  return shown.join('\n')
}

/** Turns of the event loop, and a time limit. */
class Turns {
  readonly #end: bigint
  #count = 0

  constructor(limit: number) {
    this.#end = now() + BigInt(Math.ceil(limit)) * 1_000_000n
  }

  get isLate(): boolean {
    return now() >= this.#end
  }

  next(): Promise<void> {
    const quick = this.#count++ < QUICK_TURNS
    return new Promise((resolve) => {
      if (quick) immediate(resolve)
      else timeout(resolve, 2)
    })
  }
}
