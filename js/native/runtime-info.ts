/**
 * Whether greenlets work on this runtime: asked by users, and before anything native is used.
 */

import { UnsupportedRuntimeError } from '../common/errors.ts'
import { addon, type AddonInfo } from './addon.ts'
import { refusal } from './copies.ts'

/** What {@link runtimeInfo} returns. */
export interface RuntimeInfo extends AddonInfo {
  /** The version of Node.js, without a `v`. */
  readonly node: string
  /** The version of V8. */
  readonly v8: string
}

/**
 * Says whether greenlets work on this runtime, and if not, why. The first call learns the layout of V8's state, which
 * takes 20 to 50 milliseconds. Never throws.
 */
export function runtimeInfo(): RuntimeInfo {
  const { node, v8 } = process.versions
  const reason = refusal()
  if (reason !== undefined) return { supported: false, reason, node, v8 }
  try {
    const { loadError } = addon
    return loadError === undefined
      ? { ...addon.runtimeInfo(String(process.execArgv?.join('\n'))), node, v8 }
      : { supported: false, reason: loadError, node, v8 }
  } catch (error) {
    return { supported: false, reason: error instanceof Error ? error.message : String(error), node, v8 }
  }
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
