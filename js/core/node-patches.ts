/**
 * Replaces methods of Node.js that greenlets have to know about, when this thread makes its first greenlet:
 *
 * - Running a `vm` script with a time limit or `breakOnSigint`. At the time limit V8 ends the JavaScript that runs, so
 *   the greenlet that called the script must not be left meanwhile. Main may be left: V8 ends the greenlet that runs,
 *   then the script.
 * - Evaluating an expression by an inspector session of this thread, with a time limit: the same.
 * - `AsyncLocalStorage.prototype.exit`, where Node has stores without frames (20, 22, `--no-async-context-frame`). It
 *   disables the storage for the whole thread until its callback returns. Other greenlets and async functions would lose
 *   their stores for that time.
 * - Loading an add-on. Native counts the scopes that add-ons hold open, for each stack.
 * - Reporting an uncaught exception. A quiet exit (exits.ts) is not reported, for example that of a listener of an
 *   EventTarget, which Node throws again in a later job. Native does the same for rejected promises.
 * - Methods during which C++ holds what the event loop frees; see native-holds.ts and inspector-sessions.ts.
 * - The loaders of modules; see module-loads.ts.
 */

import { AsyncLocalStorage } from 'node:async_hooks'
import vm from 'node:vm'
import { isQuiet } from '../common/errors.ts'
import { immediate } from '../common/turns.ts'
import { findInspectors, type WithSession } from './built-ins.ts'
import { exitDomains, followDomains } from './domains.ts'
import { callHeld } from './held.ts'
import { patchSession } from './inspector-sessions.ts'
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
  // `post(method, params, callback)`. The class of `node:inspector/promises` has a copy of that method, which also
  // evaluates before it returns.
  const { callbacks, promises } = findInspectors()
  if (callbacks !== undefined) patchInspector(callbacks)
  if (promises !== undefined) patchInspector(promises)

  patchExit(AsyncLocalStorage.prototype as unknown as Methods)
  replace(process as unknown as Methods, 'dlopen', (dlopen) => {
    return function (...args) {
      const result = Reflect.apply(dlopen, this, args)
      thread.native.findAddons()
      return result
    }
  })

  followDomains()

  // C++ reads this property for each uncaught exception (node_errors.cc, TriggerUncaughtException). The program goes on
  // where the function returns true.
  replace(process as unknown as Methods, '_fatalException', (report) => {
    return function (...args) {
      if (!isQuiet(args[0])) return Reflect.apply(report, this, args)
      // What Node does for an error that the program has handled (execution.js, createOnGlobalUncaughtException).
      immediate(() => {})
      thread.native.clearAsyncIds()
      exitDomains()
      return true
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
      return callHeld(undefined, () => Reflect.apply(method, this, args))
    }
  })
}

function setsLimit(options: unknown): boolean {
  if (typeof options !== 'object' || options === null) return false
  const { timeout, breakOnSigint } = options as vm.RunningScriptOptions
  return timeout !== undefined || breakOnSigint === true
}

function patchInspector({ Session: { prototype } }: WithSession): void {
  patchLimited(prototype, 'post', 1)
  patchSession(prototype)
}

/** `exit` as Node 24 has it: it runs the callback without a store. Only the implementation without frames has `_enable`. */
function patchExit(storage: Methods): void {
  const { run } = storage
  if (run === undefined || typeof storage['_enable'] !== 'function') return
  replace(storage, 'exit', () => {
    return function (...args) {
      return Reflect.apply(run, this, [undefined, ...args])
    }
  })
}
