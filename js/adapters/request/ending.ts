/**
 * Ends the greenlets of a request. A greenlet may wait in a `finally` block, so it gets time. One that catches the exit
 * and waits again, as a loop that tries again after each error does, is killed again and again.
 */

import { quoted } from '../../common/text.ts'
import type { Greenlet } from '../../engine.ts'

/** So that a grace of 0 does not take the whole processor. */
const LEAST_MS = 50

/** Those that are being ended: another kill would break their cleanup before its time is over. */
const beingEnded = new WeakSet<Greenlet>()

/**
 * Kills a greenlet, on main, unless it is being ended already. If it is alive `grace` milliseconds later, that is reported,
 * and it is killed again.
 *
 * @param why for the report, for example 'its client disconnected'
 * @param cleansUp whether it may be in its cleanup already, and so is not killed before `grace` is over
 */
export function end(greenlet: Greenlet, grace: number, why: string, cleansUp: boolean): void {
  if (beingEnded.has(greenlet)) return
  if (!cleansUp && !greenlet.ending) kill(greenlet)
  if (greenlet.dead) return
  beingEnded.add(greenlet)
  const wait = Math.max(grace, LEAST_MS)
  let reported = false
  const timer = setInterval(() => {
    if (!greenlet.dead && !reported) {
      reported = true
      report(greenlet, wait, why)
    }
    if (!greenlet.dead) kill(greenlet)
    if (greenlet.dead) clearInterval(timer)
  }, wait).unref()
}

function kill(greenlet: Greenlet): void {
  try {
    greenlet.kill()
  } catch (error) {
    // Otherwise it has switched away and has not ended: it may have to wait in a `finally` block.
    if (greenlet.dead) process.emitWarning(error as Error)
  }
}

function report(greenlet: Greenlet, ms: number, why: string): void {
  process.emitWarning(
    `greenlet ${quoted(greenlet.name)} still runs ${ms / 1000} s after ${why}: it caught GreenletExit and waits again; ` +
      'let it end after a GreenletExit, or give it more time by greenlets({ grace })',
    { type: 'GreenletWarning', code: 'ERR_GREENLET_KILL_REFUSED', detail: greenlet.gr_stack.toString() },
  )
}
