/**
 * Calls during which the running greenlet must not be left.
 */

import { HELD, mail } from '../native/contract.ts'
import { main, thread } from './thread.ts'

/**
 * Calls a function during which the running greenlet must not be left. Main may be left.
 *
 * @param name the call, for the message of a refused switch; undefined for one with a time limit or `breakOnSigint`
 */
export function callHeld(name: string | undefined, call: () => unknown): unknown {
  if (thread.current === main) return call()
  const outer = thread.heldBy
  thread.heldBy = name
  // If V8 ends this greenlet too, the `finally` block does not run. Native resets the count then.
  mail[HELD]!++
  try {
    return call()
  } finally {
    mail[HELD]!--
    thread.heldBy = outer
  }
}
