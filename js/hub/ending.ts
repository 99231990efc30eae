/**
 * Tells a killed greenlet that cleans up from one that starts over. Both have caught the GreenletExit and wait. What tells
 * them apart is the place of the wait: a `catch` or `finally` block is another place than the `try` block that the exit
 * came out of, and a loop or a library that tries again comes back to the same place. There the exit is thrown again.
 *
 * A place is the whole stack of the program's functions, so a helper that waits for both is no problem.
 */

import { addOwnCode } from '../common/own-code.ts'
import type { GreenletRecord } from '../core/record.ts'
import { refusal } from '../core/kill.ts'
import { thread } from '../core/thread.ts'
import { isOwnFrame } from '../stack/own-frames.ts'
import { type CallSite, sitesOf } from '../stack/realm.ts'
import { ensureCaptureRealm } from '../stack/snapshot.ts'

/** Where this file's own code begins; see common/own-code.ts. */
function first<T>(probe: () => T): T {
  return probe()
}

/** How often the exit of one `kill()` is thrown again. A greenlet that takes more of them does not end by them. */
const MOST_EXITS = 100

/** The places of the program's functions on a stack, the innermost first. */
type Place = readonly string[]

/** The stack of a wait that the exit was thrown into. Its frames are read when the greenlet waits again, which few do. */
class Interrupted {
  #capture: Error | undefined
  #place: Place | undefined

  constructor(capture: Error) {
    this.#capture = capture
  }

  get place(): Place {
    if (this.#place === undefined) {
      this.#place = placeOf(this.#capture!)
      this.#capture = undefined
    }
    return this.#place
  }
}

/** For an error that is thrown into a wait of the running greenlet. Never throws. */
export function noteExit({ ending }: GreenletRecord, error: unknown): void {
  if (ending === undefined || ending.exit !== error) return
  try {
    ensureCaptureRealm()
    ending.interrupted.push(new Interrupted(thread.capture()))
  } catch {
    // The running stack is nearly full. The greenlet ends without that.
  }
}

/**
 * For a greenlet that is about to wait: gives the exit that it has not got yet, because its signal was aborted while it did
 * not wait. Undefined where there is none. The caller throws it in place of whatever ends the wait.
 */
export function takePendingExit(waiter: GreenletRecord): unknown {
  const { ending } = waiter
  if (ending?.isPending !== true) return undefined
  ending.isPending = false
  noteExit(waiter, ending.exit)
  return ending.exit
}

/**
 * For a killed greenlet that is about to wait: throws the exit again if it has started over. After {@link MOST_EXITS} it waits
 * as any other, and is no longer one that ends. `kill()` tells that its caller, and a warning if `kill()` has returned.
 */
export function throwAgain(waiter: GreenletRecord): void {
  const ending = waiter.ending!
  const pending = takePendingExit(waiter)
  if (pending !== undefined) throw pending
  if (ending.interrupted.length === 0) return
  ensureCaptureRealm()
  const now = placeOf(thread.capture())
  if (!ending.interrupted.some((wait) => startsOver((wait as Interrupted).place, now))) return
  if (ending.again++ < MOST_EXITS) throw ending.exit
  waiter.ending = undefined
  if (waiter.killers !== undefined) return
  process.emitWarning(refusal(waiter), { type: 'GreenletWarning', code: 'ERR_GREENLET_KILL_REFUSED' })
}

/**
 * Whether the wait at `now` is the one at `before`, once more. The frames at the outer ends are the same up to the
 * function that has caught the exit. The frames from there inwards must come again: at once in a loop, and further in where
 * a function calls itself to try again.
 */
function startsOver(before: Place, now: Place): boolean {
  let common = 0
  while (common < before.length && before.at(-1 - common) === now.at(-1 - common)) common++
  const inner = before.length - common
  if (inner === 0) return now.length === common
  if (inner > now.length - common) return false
  for (let i = 0; i < inner; i++) if (before[i] !== now[i]) return false
  return true
}

function placeOf(capture: Error): Place {
  const sites = sitesOf(thread.native, capture)
  const place: string[] = []
  if (sites === undefined) return place
  for (let i = 0; i < sites.length; i++) {
    const site = sites[i]!
    // The functions of the package that waits go through are not always the same.
    if (site.isAsync() || (place.length === 0 && (i === 0 || isOwnFrame(site)))) continue
    place.push(describe(site))
  }
  return place
}

function describe(site: CallSite): string {
  return `${site.getScriptNameOrSourceURL() ?? ''}:${site.getPosition()} ${site.getFunctionName() ?? ''}`
}

/** Where this file's own code ends. */
function last<T>(probe: () => T): T {
  return probe()
}

addOwnCode(first, last, first, last, noteExit, throwAgain)
