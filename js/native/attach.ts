/**
 * Connects this thread to the native addon. Only one copy of the package can be connected in each thread.
 */

import { addon } from './addon.ts'
import { mail, type Native } from './contract.ts'
import { claimThread, refuseSecondCopy, secondCopyError } from './copies.ts'
import { ensureSupported } from './runtime-info.ts'

/**
 * Connects this thread. `entry` is the function that each new stack runs. May be called again where a time limit of V8
 * ended the first call.
 *
 * @throws UnsupportedRuntimeError with the reason, where greenlets do not work
 * @throws GreenletError `ERR_GREENLET_SECOND_COPY` where another copy of this package is connected
 */
export function attach(entry: () => void): Native {
  refuseSecondCopy()
  ensureSupported()
  let native: Native
  try {
    native = addon.attach(mail, entry)
  } catch (error) {
    // The runtime is supported, so another copy is connected, and it is not in the list of copies.
    throw secondCopyError(error)
  }
  claimThread()
  return native
}
