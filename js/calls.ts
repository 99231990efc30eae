/**
 * Calls of Node.js' own that greenlets have to know about. Wrapped when this thread makes its first greenlet:
 *
 * - Running a `vm` script with a time limit or `breakOnSigint`: when the time is up V8 ends whoever runs, so the greenlet
 *   whose script it is must not be left meanwhile. Main may: what it switches to is ended, and then the script is.
 * - Loading an add-on: native keeps the scopes that add-ons hold open apart for each stack.
 */

import * as vm from 'node:vm'
import { main } from './inner.ts'
import { HELD, mail } from './native.ts'
import { connection, current } from './transfer.ts'

type Method = (this: unknown, ...args: unknown[]) => unknown

/** Wraps them. */
export function wrapCalls(): void {
  const script = vm.Script.prototype as unknown as Record<string, Method>
  limited(script, 'runInThisContext', 0)
  limited(script, 'runInContext', 1)
  limited(script, 'runInNewContext', 1)
  // Behind --experimental-vm-modules.
  const { Module } = vm as unknown as { Module?: { prototype: Record<string, Method> } }
  if (Module !== undefined) limited(Module.prototype, 'evaluate', 0)

  replace(process as unknown as Record<string, Method>, 'dlopen', (dlopen) => {
    return function (...args) {
      const result = Reflect.apply(dlopen, this, args)
      connection().findAddons()
      return result
    }
  })
}

/** Holds a greenlet while it is in `method`, if the options, which are the argument with this index, set a limit. */
function limited(owner: Record<string, Method>, name: string, index: number): void {
  replace(owner, name, (method) => {
    return function (...args) {
      if (current === main || !setsLimit(args[index])) return Reflect.apply(method, this, args)
      // Not put back where V8 ends this greenlet too: native does it then.
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

/** Puts a wrapper in the place of a method, which looks the same. */
function replace(owner: Record<string, Method>, name: string, wrap: (method: Method) => Method): void {
  const method = owner[name]
  if (typeof method !== 'function') return
  const wrapper = wrap(method)
  const { name: shown, length } = method
  Object.defineProperties(wrapper, { name: { value: shown }, length: { value: length } })
  Object.defineProperty(owner, name, { ...Object.getOwnPropertyDescriptor(owner, name), value: wrapper })
}
