/**
 * Whether greenlets work on this runtime: asked by users, and before anything native is used.
 */

import { UnsupportedRuntimeError } from '../common/errors.ts'
import { addon } from './addon.ts'
import type { RuntimeInfo as AddonInfo } from './binding.cjs'
import { refusal } from './copies.ts'

/**
 * What {@link runtimeInfo} returns.
 *
 * @example
 * ```js
 * const { node, v8, lane, slots, live } = runtimeInfo()
 * ```
 */
export interface RuntimeInfo extends AddonInfo {
  /** The version of Node.js, without a `v`. */
  readonly node: string
  /** The version of V8. */
  readonly v8: string
}

/**
 * Says whether greenlets work on this runtime, and if not, why. The first call learns the layout of V8's state, which
 * takes 20 to 50 milliseconds. Never throws.
 *
 * @example
 * ```js
 * const { supported, reason } = runtimeInfo()
 * if (!supported) console.error(reason)
 * ```
 */
export function runtimeInfo(): RuntimeInfo {
  const { node, v8 } = process.versions
  const reason = refusal()
  if (reason !== undefined) return { supported: false, reason, node, v8 }
  try {
    const { loadError } = addon
    return loadError === undefined
      ? { ...withDefaultFormatting(() => addon.runtimeInfo(flags())), node, v8 }
      : { supported: false, reason: loadError, node, v8 }
  } catch (error) {
    return { supported: false, reason: error instanceof Error ? error.message : String(error), node, v8 }
  }
}

/**
 * Runs `act` while Node.js formats errors in its own way. The first call formats errors, and a function of the program must not be
 * called for them. A property that cannot be assigned to stays as it is: `act` has another way then.
 */
function withDefaultFormatting<T>(act: () => T): T {
  const saved = Object.getOwnPropertyDescriptor(Error, 'prepareStackTrace')
  if (typeof saved?.value !== 'function' || !saved.writable) return act()
  const realm = Error as { prepareStackTrace?: unknown }
  realm.prepareStackTrace = undefined
  try {
    return act()
  } finally {
    realm.prepareStackTrace = saved.value
  }
}

/** The flags that Node.js was started with. Without `join`, which the program may have replaced. */
function flags(): string {
  let lines = ''
  for (let i = 0; i < (process.execArgv?.length ?? 0); i++) lines += `${process.execArgv[i]}\n`
  return lines
}

/**
 * Does nothing where greenlets work.
 *
 * @throws UnsupportedRuntimeError with the reason
 */
export function ensureSupported(): void {
  const { supported, reason } = runtimeInfo()
  if (!supported) throw new UnsupportedRuntimeError(reason ?? 'this runtime is not supported')
}
