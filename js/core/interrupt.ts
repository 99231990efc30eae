/**
 * Ends a wait with an error, in place of what the greenlet waits for. The wait is over at once, so the first that ends it
 * wins: the promise, a time limit, a signal, or `interrupt()`. The greenlet is resumed later, on main, so the code that
 * interrupts it is never left.
 */

import { immediate } from '../common/turns.ts'
import { markExit } from './exits.ts'
import { finishEnded } from './lifecycle.ts'
import { type BlockingCall, type GreenletObject, type GreenletRecord, WAITING } from './record.ts'
import { switchTo } from './switch.ts'
import { main, thread } from './thread.ts'

/** Takes the place of a greenlet's blocking call, which is not told. */
export class Interruption implements BlockingCall {
  readonly outcome = 'error'
  readonly value: unknown
  greenlet: GreenletObject | undefined = undefined
  readonly waitsFor = undefined
  since = 0
  /** What interrupts the wait, for the `stack` of the error; undefined where it must not be kept. */
  readonly source: object | undefined

  constructor(error: unknown, source: object | undefined) {
    this.value = error
    this.source = source
  }
}

/**
 * Ends the wait of a greenlet with `error`. Returns what the greenlet has to be resumed for; undefined where it does not
 * wait, or where its wait is over and it will be resumed anyway. Never switches and never throws.
 */
export function endWait(record: GreenletRecord, error: unknown, source?: object): Interruption | undefined {
  if (record.state !== WAITING || record.blockingCall?.outcome !== undefined) return undefined
  markExit(error, record)
  const interruption = new Interruption(error, source)
  record.blockingCall = interruption
  return interruption
}

/** Throws `error` in the wait of a greenlet, in the next turn. Returns whether it will. Never switches and never throws. */
export function interrupt(record: GreenletRecord, error: unknown): boolean {
  if (record.state !== WAITING) return false
  // V8 may have ended it.
  finishEnded()
  const interruption = endWait(record, error)
  if (interruption === undefined) return false
  immediate(() => resumeInterrupted(record, interruption))
  return true
}

function resumeInterrupted(record: GreenletRecord, interruption: Interruption): void {
  finishEnded()
  // It may have been killed, or a child that ended may have resumed it.
  if (record.blockingCall !== interruption) return
  // This may be an event loop inside of a greenlet, which must not be left.
  if (thread.current !== main) immediate(() => resumeInterrupted(record, interruption))
  else switchTo(record, undefined)
}
