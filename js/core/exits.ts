/**
 * Marks the exits that are quiet: Node does not report them as errors where it catches them. An exit is quiet if it was
 * thrown into a greenlet, or made in one. Native keeps their rejected promises from Node, and node-patches.ts their
 * uncaught exceptions.
 */

import { exits, isQuiet, setQuiet } from '../common/errors.ts'
import type { GreenletRecord } from './record.ts'
import { main, thread } from './thread.ts'

/** From now on a GreenletExit that is made in a greenlet is quiet. */
export function noticeExits(): void {
  exits.madeInGreenlet = () => {
    if (thread.current === main) return false
    filterRejections()
    return true
  }
}

/** For an error on its way to `target`. */
export function markExit(error: unknown, target: GreenletRecord): void {
  setQuiet(error, target !== main)
  if (isQuiet(error)) filterRejections()
}

/**
 * Makes native keep quiet exits from Node. It is done at the first quiet exit, because it costs a call for each promise
 * that is rejected before it has a handler. Where native cannot do it, a promise that a quiet exit rejects is an
 * unhandled rejection, like any other.
 */
function filterRejections(): void {
  if (thread.rejectionsAreFiltered) return
  thread.rejectionsAreFiltered = true
  thread.native.filterRejections(isQuiet)
}
