/**
 * Replaces methods of Node.js that greenlets have to know about, when this thread makes its first greenlet:
 *
 * - Running a `vm` script with a time limit or `breakOnSigint`. At the time limit V8 ends the JavaScript that runs, so
 *   the greenlet that called the script must not be left meanwhile. Main may be left: V8 ends the greenlet that runs,
 *   then the script.
 * - Evaluating an expression by an inspector session of this thread, with a time limit: the same.
 * - Loading an add-on. Native counts the scopes that add-ons hold open, for each stack.
 */

import { createRequire } from 'node:module'
import * as vm from 'node:vm'
import { HELD, mail } from '../native/contract.ts'
import { main, thread } from './thread.ts'

type Method = (this: unknown, ...args: unknown[]) => unknown

interface WithSession {
  readonly Session: { readonly prototype: Record<string, Method> }
}

/** Replaces all of them. */
export function patchNode(): void {
  const script = vm.Script.prototype as unknown as Record<string, Method>
  patchLimited(script, 'runInThisContext', 0)
  patchLimited(script, 'runInContext', 1)
  patchLimited(script, 'runInNewContext', 1)
  // It exists with --experimental-vm-modules only.
  const { Module } = vm as unknown as { Module?: { prototype: Record<string, Method> } }
  if (Module !== undefined) patchLimited(Module.prototype, 'evaluate', 0)
  // `post(method, params, callback)`. Not every Node.js has an inspector.
  if (process.features.inspector) {
    const require = createRequire(import.meta.url)
    const inspector = require('node:inspector') as WithSession
    patchLimited(inspector.Session.prototype, 'post', 1)
    // This one has copied the other one's method. It too evaluates before it returns.
    const promises = require('node:inspector/promises') as WithSession
    patchLimited(promises.Session.prototype, 'post', 1)
  }

  replace(process as unknown as Record<string, Method>, 'dlopen', (dlopen) => {
    return function (...args) {
      const result = Reflect.apply(dlopen, this, args)
      thread.native.findAddons()
      return result
    }
  })
}

/**
 * Holds the running greenlet during a call of the method, if the options, the argument at `optionsIndex`, set a limit.
 */
function patchLimited(owner: Record<string, Method>, name: string, optionsIndex: number): void {
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

/** Replaces a method by a wrapper that has the same name, length and property attributes. */
function replace(owner: Record<string, Method>, key: string, wrap: (method: Method) => Method): void {
  const method = owner[key]
  if (typeof method !== 'function') return
  const wrapper = wrap(method)
  const { name, length } = method
  Object.defineProperties(wrapper, { name: { value: name }, length: { value: length } })
  Object.defineProperty(owner, key, { ...Object.getOwnPropertyDescriptor(owner, key), value: wrapper })
}
