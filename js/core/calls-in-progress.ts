/**
 * Counts the calls of Node.js that use an object and have not returned. C++ uses the object, or a part of it, before and
 * after the JavaScript that it calls. In plain Node.js no other code runs during that JavaScript. But a greenlet can be
 * suspended in it, and then other code runs. So a method that would close the object first asks here whether it is in
 * use.
 */

import { GreenletError } from '../common/errors.ts'
import { quoted } from '../common/text.ts'
import { DEAD, type GreenletRecord } from './record.ts'
import { thread } from './thread.ts'

/** A call that uses an object. */
interface Use {
  readonly greenlet: GreenletRecord
  /** What was called, for the message: `query()`. */
  readonly call: string
}

export class CallsInProgress {
  readonly #uses = new WeakMap<object, Use[]>()

  /** Calls `method`; meanwhile `object` counts as in use. `call` is what was called, for the message: `query()`. */
  run(object: object, call: string, method: () => unknown): unknown {
    let uses = this.#uses.get(object)
    if (uses === undefined) {
      uses = []
      this.#uses.set(object, uses)
    }
    const use = { greenlet: thread.current, call }
    uses.push(use)
    try {
      return method()
    } finally {
      uses.splice(uses.lastIndexOf(use), 1)
      if (uses.length === 0) this.#uses.delete(object)
    }
  }

  /**
   * Refuses `action` while a call uses `object`.
   *
   * @param action what is refused, for the message: `the database cannot be closed`
   * @param remedy what to do, for the message
   * @throws GreenletError `ERR_GREENLET_IN_USE`
   */
  refuse(object: object, action: string, remedy: string): void {
    const use = this.#uses.get(object)?.at(-1)
    if (use !== undefined) throw inUse(use.greenlet, use.call, action, remedy)
  }

  /** As `refuse`, while a call of another greenlet uses `object`. */
  refuseToOthers(object: object, action: string, remedy: string): void {
    const use = this.#uses.get(object)?.findLast(isOfAnother)
    if (use !== undefined) throw inUse(use.greenlet, use.call, action, remedy)
  }
}

/** V8 may have ended a greenlet without running its `finally` blocks. */
const isOfAnother = ({ greenlet }: Use): boolean => greenlet !== thread.current && greenlet.state !== DEAD

/** The error for an `action` that is refused while `greenlet` is inside of `call`. */
export function inUse({ name }: GreenletRecord, call: string, action: string, remedy: string): GreenletError {
  return new GreenletError(
    'ERR_GREENLET_IN_USE',
    `${action}: greenlet ${quoted(name)} is inside of ${call}, which has not returned; ${remedy}`,
  )
}
