/**
 * `configure()`: the settings for the stacks of a thread.
 */

import { GreenletError, rangeError, typeError } from '../common/errors.ts'
import { describe } from '../common/values.ts'
import { addon } from './addon.ts'
import { refuseSecondCopy } from './copies.ts'
import { ensureSupported } from './runtime-info.ts'

/** More slots would take more address space than some systems have. */
const MAX_SLOTS = 65_536

/** The settings for the stacks of a thread. A setting that is left out, or undefined, gets its default. */
export interface Options {
  /**
   * How many stacks can be in their slots at once, 1 to 65536; each slot takes 1 MiB of address space. Default: 1024,
   * or as many as the address space allows. With more greenlets than slots, a switch to a greenlet of which the slot is
   * taken costs two copies of the used part of a stack, 0.2 us for each 2 KB.
   */
  readonly slots?: number | undefined
  /** How many greenlets can be live (started and not ended) at once. Default: any number. */
  readonly maxGreenlets?: number | undefined
  /**
   * When the copies of suspended stacks take this many bytes, no more greenlets start. Live greenlets go on, however
   * much memory they need. Default: any number.
   */
  readonly memory?: number | undefined
}

/**
 * Sets how the stacks of this thread are kept. May be called while no greenlet of the thread is live.
 *
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`, also where a `GREENLETS_*` variable has a wrong value
 * @throws GreenletError `ERR_GREENLET_SLOTS_IN_USE` where greenlets are live, `ERR_GREENLET_NO_MEMORY` where there is
 *   no address space for so many slots; nothing has changed then
 * @throws UnsupportedRuntimeError where greenlets do not work
 */
export function configure(options: Options): void {
  refuseSecondCopy()
  const { slots, maxGreenlets, memory } = checkOptions(options)
  ensureSupported()
  let done
  try {
    done = addon.configure(slots, maxGreenlets, memory)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    // Native checks the environment variables, of which `configure()` changes some.
    if (code === 'InvalidArg') throw rangeError(`configure() also reads the environment variables: ${message}`)
    throw new GreenletError(
      'ERR_GREENLET_NO_MEMORY',
      `no address space for ${slots ?? 'so many'} stack slots of 1 MiB; ask for fewer`,
      { cause: error },
    )
  }
  if (done) return
  throw new GreenletError(
    'ERR_GREENLET_SLOTS_IN_USE',
    'configure() was called while greenlets of this thread were live; call it before the first one starts',
  )
}

function checkOptions(options: unknown): Options {
  if (typeof options !== 'object' || options === null) {
    throw typeError(`configure() takes an object, not ${describe(options)}`)
  }
  const { slots, maxGreenlets, memory } = options as Options
  checkCount('slots', slots, MAX_SLOTS)
  checkCount('maxGreenlets', maxGreenlets, Number.MAX_SAFE_INTEGER)
  checkCount('memory', memory, Number.MAX_SAFE_INTEGER)
  return { slots, maxGreenlets, memory }
}

function checkCount(name: string, count: unknown, most: number): void {
  if (count === undefined) return
  if (typeof count !== 'number' || Number.isNaN(count)) {
    throw typeError(`${name} must be a number, not ${describe(count)}`)
  }
  if (Number.isInteger(count) && count >= 1 && count <= most) return
  throw rangeError(`${name} must be an integer from 1 to ${most}, not ${count}`)
}
