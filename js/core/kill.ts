/**
 * `kill()`: ends a greenlet by a GreenletExit. A greenlet that waits while it cleans up goes on ending after `kill()` has
 * returned. One that switches away by hand refuses to end. So does one that starts over, to which hub/ending.ts has thrown
 * the exit again before.
 */

import { GreenletError, GreenletExit } from '../common/errors.ts'
import { addOwnCode } from '../common/own-code.ts'
import { NativePromise } from '../common/values.ts'
import { quoted } from '../common/text.ts'
import { deliver, endUnstarted, finishEnded, startThatThrows } from './lifecycle.ts'
import { DEAD, type Ending, type GreenletRecord, type RecordState, UNSTARTED, WAITING } from './record.ts'
import { startAndSwitchTo } from './switch.ts'
import { main, thread } from './thread.ts'

/** Where this file's own code begins; see common/own-code.ts. */
function first<T>(probe: () => T): T {
  return probe()
}

/** What `kill()` of a greenlet that runs or waits needs; see record.ts. */
function startEnding(record: GreenletRecord, exit: Error): Ending {
  const ending = (record.ending ??= { exit, again: 0, isDropped: false, isPending: false, interrupted: [] })
  ending.exit = exit
  ending.again = 0
  ending.isPending = false
  return ending
}

/** For a greenlet that does not wait: from now on it is ending, and gets `exit` where it waits next. */
export function killAtNextWait(record: GreenletRecord, exit: GreenletExit): void {
  const ending = startEnding(record, exit)
  ending.isPending = ending.isDropped = true
}

/** See `Greenlet.prototype.kill`. */
export function killRecord(record: GreenletRecord): void {
  finishEnded()
  const me = thread.current
  if (record.state === DEAD) return
  if (record === main) {
    throw new GreenletError(
      'ERR_GREENLET_MAIN',
      'main cannot be killed: it is the stack of the thread itself; end the process or the Worker instead',
    )
  }
  const exit = record.guest?.exit() ?? new GreenletExit()
  if (record === me) {
    if (record.ending !== undefined) record.ending.isPending = false
    throw exit
  }
  if (record.state === UNSTARTED && thread.tracer === undefined) {
    endUnstarted(record, exit)
    return
  }
  const before = record.ending?.exit
  const wasPending = record.ending?.isPending === true
  const ending = startEnding(record, exit)
  const killers = (record.killers ??= [])
  killers.push(me)
  try {
    if (record.state === UNSTARTED) startAndSwitchTo(record, startThatThrows(exit))
    else deliver(record, true, exit)
  } catch (error) {
    // It has ended with this error; or the exit has not arrived, and all is as it was before.
    if (before === undefined) record.ending = undefined
    else if (ending.exit === exit) {
      ending.exit = before
      ending.isPending = wasPending
    }
    throw error
  } finally {
    ending.isDropped ||= record.killers === killers
    killers.splice(killers.lastIndexOf(me), 1)
    if (killers.length === 0 && record.killers === killers) record.killers = undefined
  }
  // TypeScript assumes that these have not changed.
  const { state, ending: stillEnding } = record as { state: RecordState; ending: Ending | undefined }
  if (state === DEAD || (state === WAITING && stillEnding !== undefined)) return
  record.ending = undefined
  throw new GreenletError('ERR_GREENLET_KILL_REFUSED', refusal(record))
}

/** What a greenlet has done that does not end after a GreenletExit. */
export function refusal(record: GreenletRecord): string {
  return (
    `greenlet ${quoted(record.name)} is still alive: it caught the GreenletExit and then switched away, or started over; ` +
    'a catch block must throw the GreenletExit again, and a retry must end at one; it may wait() while it cleans up'
  )
}

/** See `Greenlet.prototype.ended`. */
export function endOf(record: GreenletRecord): Promise<void> {
  finishEnded()
  if (record.ended === undefined) {
    let fulfil!: () => void
    const promise = new NativePromise<void>((resolve) => (fulfil = resolve))
    record.ended = { promise, fulfil }
    if (record.state === DEAD) fulfil()
  }
  return record.ended.promise
}

/** Where this file's own code ends. */
function last<T>(probe: () => T): T {
  return probe()
}

addOwnCode(first, last, first, last, killRecord)
