/**
 * Protects the sessions of `node:inspector`. A session of C++ calls JavaScript: an evaluated expression, a callback of
 * `post()` and listeners of notifications. While a greenlet is suspended in such a call, `disconnect()` on another stack
 * would free it.
 */

import { CallsInProgress } from './calls-in-progress.ts'
import { type Methods, replace, replaceEach } from './replace.ts'
import { main, thread } from './thread.ts'

const calls = new CallsInProgress()

/** Replaces methods of a class of sessions. */
export function patchSession(session: Methods): void {
  replaceEach(session, ['post', 'emit'], (method, name) => {
    return function (...args) {
      // The event loop cannot turn while main is in this call.
      if (thread.current === main) return Reflect.apply(method, this, args)
      return calls.run(this as object, `${name}()`, () => Reflect.apply(method, this, args))
    }
  })
  replace(session, 'disconnect', (disconnect) => {
    return function (...args) {
      calls.refuseToOthers(this as object, 'the inspector session cannot be disconnected', 'disconnect it after that')
      return Reflect.apply(disconnect, this, args)
    }
  })
}
