/**
 * `kill()`: ends a greenlet by a GreenletExit.
 */

import { GreenletError, GreenletExit } from '../common/errors.ts'
import { addOwnCode } from '../common/own-code.ts'
import { deliver, endUnstarted, finishEnded, startThatThrows } from './lifecycle.ts'
import { DEAD, type GreenletRecord, type RecordState, UNSTARTED } from './record.ts'
import { startAndSwitchTo } from './switch.ts'
import { main, thread } from './thread.ts'

/** Where this file's own code begins; see common/own-code.ts. */
function first<T>(probe: () => T): T {
  return probe()
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
  const exit = new GreenletExit()
  if (record === me) throw exit
  if (record.state === UNSTARTED && thread.tracer === undefined) {
    endUnstarted(record, exit)
    return
  }
  const killers = (record.killers ??= [])
  killers.push(me)
  try {
    if (record.state === UNSTARTED) startAndSwitchTo(record, startThatThrows(exit))
    else deliver(record, true, exit)
  } finally {
    killers.splice(killers.lastIndexOf(me), 1)
    if (killers.length === 0 && record.killers === killers) record.killers = undefined
  }
  // TypeScript assumes that the state has not changed.
  if ((record.state as RecordState) !== DEAD) {
    throw new GreenletError(
      'ERR_GREENLET_KILL_REFUSED',
      `greenlet '${record.name}' is still alive: a catch or finally block in it waits or switches; it ends when a finally block is done, and a catch block must throw the GreenletExit again`,
    )
  }
}

/** Where this file's own code ends. */
function last<T>(probe: () => T): T {
  return probe()
}

addOwnCode(first, last, first, last, killRecord)
