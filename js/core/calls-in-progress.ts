/**
 * Counts the calls of Node.js that use an object and have not returned. C++ uses the object, or a part of it, before and
 * after the JavaScript that it calls. In plain Node.js no other code runs during that JavaScript. But a greenlet can be
 * suspended in it, and then other code runs. So a method that would close the object first asks here whether it is in
 * use.
 */

import { GreenletError } from '../common/errors.ts'
import type { GreenletRecord } from './record.ts'
import { thread } from './thread.ts'

/** The calls that use one object. */
interface Use {
  /** How many calls have not returned. */
  count: number
  /** The greenlet that made the latest of them, and the name of the method. */
  greenlet: GreenletRecord
  call: string
}

export class CallsInProgress {
  readonly #uses = new WeakMap<object, Use>()

  /** Calls `method`; meanwhile `object` counts as in use. `call` is the name of the method. */
  run(object: object, call: string, method: () => unknown): unknown {
    let use = this.#uses.get(object)
    if (use === undefined) {
      use = { count: 0, greenlet: thread.current, call }
      this.#uses.set(object, use)
    }
    use.count++
    use.greenlet = thread.current
    use.call = call
    try {
      return method()
    } finally {
      if (--use.count === 0) this.#uses.delete(object)
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
    const use = this.#uses.get(object)
    if (use === undefined) return
    throw new GreenletError(
      'ERR_GREENLET_IN_USE',
      `${action}: greenlet '${use.greenlet.name}' is inside of ${use.call}(), which has not returned; ${remedy}`,
    )
  }
}
