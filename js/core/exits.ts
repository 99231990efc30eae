/**
 * Which exits are quiet, that is, nobody's error where the host has caught them: those that were thrown into a greenlet,
 * or made in one. Native keeps their rejected promises from Node, and node-patches.ts their uncaught exceptions.
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
 * Late, because from then on each promise that is rejected before it has a handler costs a call. Where native cannot do
 * it, the promise of a quiet exit is an unhandled rejection, as every other one is.
 */
function filterRejections(): void {
  if (thread.rejectionsAreFiltered) return
  thread.rejectionsAreFiltered = true
  thread.native.filterRejections(isQuiet)
}
