/**
 * Ends suspended greenlets that have become unreachable, as Python greenlet does when the last reference goes:
 * GreenletExit is thrown inside, so that `finally` blocks run and the stack is given back. The garbage collector finds
 * them. They are ended in a later turn of the event loop, on main, in the opposite order of their suspension, because
 * native code on their stacks may hold resources of the thread that must be released in the opposite order.
 *
 * A greenlet that is held by a variable of its own stack is always reachable. It stays until it is killed or the thread
 * ends. The same is true for a greenlet that waits: the promise or timer holds it, and its stack holds the promise or
 * timer.
 */

import { addOwnCode } from '../common/own-code.ts'
import { type GreenletError, GreenletExit, isExit } from '../common/errors.ts'
import { immediate } from '../common/turns.ts'
import { quoted } from '../common/text.ts'
import { textOf } from '../common/values.ts'
import { FULL_COLLECTIONS, mail, setSubject } from '../native/contract.ts'
import { deliver, finishEnded } from './lifecycle.ts'
import { DEAD, type GreenletRecord, LIVE } from './record.ts'
import { objectOf, reportCollected, sortStarted } from './registry.ts'
import { main, thread } from './thread.ts'

/** Where this file's own code begins; see common/own-code.ts. */
function first<T>(probe: () => T): T {
  return probe()
}

const unreachable: GreenletRecord[] = []
/** The full collections after which `endUnreachable` was called last. */
const asked = { collections: 0 }

thread.onUnreachable = (record) => {
  if (record.state !== DEAD && unreachable.push(record) === 1) immediate(endLater)
}

function endLater(): void {
  finishEnded()
  // This can be an event loop inside of a greenlet, as in a paused debugger. What called that loop must return first.
  if (thread.current !== main) immediate(endLater)
  else endAll()
}

/** Whether greenlets may have been collected that are not ended yet. It takes no time. */
export function mayBeUnreachable(): boolean {
  return unreachable.length !== 0 || mail[FULL_COLLECTIONS] !== asked.collections
}

/** Ends all greenlets that a collection has found unreachable until now, also one in this job. Returns how many. */
export function endUnreachable(): number {
  asked.collections = mail[FULL_COLLECTIONS]!
  sortStarted()
  reportCollected()
  const count = unreachable.length
  if (count > 0) endAll()
  return count
}

/** Ends the greenlets that were reported. */
function endAll(): void {
  // Ending one can take time and make others unreachable: those are ended in another turn.
  const ending = unreachable.splice(0).map((record) => ({ record, lastResumed: lastResumed(record) }))
  ending.sort((a, b) => b.lastResumed - a.lastResumed)
  ending.forEach(({ record }) => {
    // It may have a new object by now, by Greenlet.all() or as the parent of another greenlet.
    if (record.state !== DEAD && objectOf(record) === undefined) end(record)
  })
}

function lastResumed(record: GreenletRecord): number {
  setSubject(record.index, record.generation)
  return thread.native.lastResumed()
}

function end(record: GreenletRecord): void {
  const { settle, guest } = record
  // Its result is dropped, also if it waits in a `finally` block and ends later.
  record.killers = [thread.current]
  record.settle ??= (threw, error) => {
    if (!threw || isExit(error)) return
    if (guest === undefined) warn(record, 'ended with an error', error)
    else guest.failed(error)
  }
  try {
    deliver(record, true, guest?.exit() ?? new GreenletExit())
  } catch (error) {
    if ((record.state as number) !== DEAD && (error as GreenletError | null)?.code === 'ERR_GREENLET_FORBIDDEN') {
      // The running stack must not be left now.
      record.killers = undefined
      record.settle = settle
      thread.onUnreachable!(record)
      return
    }
    warn(record, 'could not be ended', error)
  }
  if ((record.state as number) === LIVE) {
    record.killers = undefined
    record.settle = settle
    warn(record, 'caught GreenletExit and switched away; it stays suspended, and Greenlet.all() finds it')
  }
}

function warn(record: GreenletRecord, what: string, error?: unknown): void {
  const detail = error === undefined ? undefined : detailOf(error)
  process.emitWarning(`greenlet ${quoted(record.name)}, which had become unreachable, ${what}`, {
    type: 'GreenletWarning',
    code: 'GREENLET_UNREACHABLE',
    ...(detail !== undefined && { detail }),
  })
}

/** Never throws: that would leave a callback of Node.js on the greenlet's way to its end, and end the process. */
function detailOf(error: unknown): string {
  try {
    if (error instanceof Error && typeof error.stack === 'string') return error.stack
  } catch {
    // It is a Proxy, or its `stack` is a getter that throws, or the program's `Error.prepareStackTrace` does.
  }
  return textOf(error)
}

/** Where this file's own code ends. */
function last<T>(probe: () => T): T {
  return probe()
}

addOwnCode(first, last, first, last)
