/**
 * Replaces methods of Node.js that greenlets have to know about, when this thread makes its first greenlet:
 *
 * - Running a `vm` script with a time limit or `breakOnSigint`. At the time limit V8 ends the JavaScript that runs, so
 *   the greenlet that called the script must not be left meanwhile. Main may be left: V8 ends the greenlet that runs,
 *   then the script.
 * - Loading an add-on. Native counts the scopes that add-ons hold open, for each stack.
 * - Methods during which C++ holds what the event loop frees; see native-holds.ts.
 * - The loaders of modules; see module-loads.ts.
 */

import * as vm from 'node:vm'
import { HELD, mail } from '../native/contract.ts'
import { patchLoaders } from './module-loads.ts'
import { patchNativeHolds } from './native-holds.ts'
import { type Methods, replace } from './replace.ts'
import { main, thread } from './thread.ts'

/** Replaces all of them. */
export function patchNode(): void {
  const script = vm.Script.prototype as unknown as Methods
  patchLimited(script, 'runInThisContext', 0)
  patchLimited(script, 'runInContext', 1)
  patchLimited(script, 'runInNewContext', 1)
  // It exists with --experimental-vm-modules only.
  const { Module } = vm as unknown as { Module?: { prototype: Methods } }
  if (Module !== undefined) patchLimited(Module.prototype, 'evaluate', 0)

  replace(process as unknown as Methods, 'dlopen', (dlopen) => {
    return function (...args) {
      const result = Reflect.apply(dlopen, this, args)
      thread.native.findAddons()
      return result
    }
  })

  patchNativeHolds()
  patchLoaders()
}

/**
 * Holds the running greenlet during a call of the method, if the options, the argument at `optionsIndex`, set a limit.
 */
function patchLimited(owner: Methods, name: string, optionsIndex: number): void {
  replace(owner, name, (method) => {
    return function (...args) {
      if (thread.current === main || !setsLimit(args[optionsIndex])) return Reflect.apply(method, this, args)
      // If V8 ends this greenlet too, the `finally` block does not run. Native resets the count then.
      mail[HELD]!++
      try {
        return Reflect.apply(method, this, args)
      } finally {
        mail[HELD]!--
      }
    }
  })
}

function setsLimit(options: unknown): boolean {
  if (typeof options !== 'object' || options === null) return false
  const { timeout, breakOnSigint } = options as vm.RunningScriptOptions
  return timeout !== undefined || breakOnSigint === true
}
