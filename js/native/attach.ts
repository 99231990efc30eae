/**
 * Connects this thread to the native addon. Only one copy of the package can be connected in each thread.
 */

import { GreenletError } from '../common/errors.ts'
import { addon } from './addon.ts'
import { mail, type Native } from './contract.ts'
import { ensureSupported } from './runtime-info.ts'

/** On globalThis: the URL of this module in the copy of the package that is connected. */
const OWNER: unique symbol = Symbol.for('greenlets.owner') as never

/**
 * Connects this thread. `entry` is the function that each new stack runs. May be called again where a time limit of V8
 * ended the first call.
 *
 * @throws UnsupportedRuntimeError with the reason, where greenlets do not work
 * @throws GreenletError `ERR_GREENLET_SECOND_COPY` where another copy of this package is connected
 */
export function attach(entry: () => void): Native {
  const shared = globalThis as { [OWNER]?: string }
  const owner = shared[OWNER]
  if (owner !== undefined && owner !== import.meta.url) throw secondCopyError(owner)

  ensureSupported()
  try {
    const native = addon.attach(mail, entry)
    Object.defineProperty(shared, OWNER, { value: import.meta.url })
    return native
  } catch (error) {
    // The runtime is supported, so another copy is connected. It may be in another realm of this thread, with another
    // `globalThis`.
    throw secondCopyError(shared[OWNER] ?? 'a copy in another realm', error)
  }
}

function secondCopyError(owner: string, cause?: unknown): GreenletError {
  const own = import.meta.url
  const both = owner === own ? `${own} was loaded twice` : `${owner} was first, ${own} is second`
  return new GreenletError(
    'ERR_GREENLET_SECOND_COPY',
    `two copies of greenlets cannot run in one thread: ${both}; make the dependencies agree on one version (npm dedupe)`,
    cause === undefined ? undefined : { cause },
  )
}
