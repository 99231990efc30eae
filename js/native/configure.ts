/**
 * `configure()`: the settings for the stacks of a thread.
 */

import { GreenletError, rangeError, typeError } from '../common/errors.ts'
import { refuseUnknown } from '../common/options.ts'
import { describe } from '../common/values.ts'
import { addon } from './addon.ts'
import { refuseSecondCopy } from './copies.ts'
import { ensureSupported } from './runtime-info.ts'

/** More slots would take more address space than some systems have. */
const MAX_SLOTS = 65_536
const MIN_STACK_SIZE = 256 * 1024
const MAX_STACK_SIZE = 1024 ** 3

const KNOWN = ['slots', 'maxGreenlets', 'memory', 'stackSize'] as const

/**
 * The settings for the stacks of a thread. A setting that is left out, or undefined, gets its default.
 *
 * @example
 * ```js
 * const options = { slots: 64, maxGreenlets: 10_000, memory: 256 * 1024 * 1024 }
 * configure(options)
 * ```
 */
export interface Options {
  /**
   * How many stacks can be in their slots at once, 1 to 65536; each slot takes 1 MiB of address space, or the next
   * power of two above a larger `stackSize`. Default: 1024, or as many as the address space allows. With more greenlets than slots, a switch to a greenlet of which the slot is
   * taken costs two copies of the used part of a stack, 0.2 us for each 2 KB.
   */
  readonly slots?: number | undefined
  /**
   * How many bytes of stack a greenlet's JavaScript may use, 262144 (256 KiB) to 1073741824 (1 GiB); native code gets
   * 96 KiB more. They take address space, and memory only where they were used. Default: as many as main has, which
   * `--stack-size` and a Worker's `stackSizeMb` change. On Node 24 and later a stack may be larger than main's only up
   * to the size of the stack that the system gave to the thread (`ulimit -s`, `stackSizeMb`).
   *
   * @example
   * ```js
   * configure({ stackSize: 512 * 1024 })
   * ```
   */
  readonly stackSize?: number | undefined
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
 * @example
 * ```js
 * configure({ slots: 256, maxGreenlets: 100_000 })
 * configure({})
 * ```
 *
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`, also where a `GREENLETS_*` variable has a wrong value, or this
 *   runtime does not allow stacks of this size
 * @throws GreenletError `ERR_GREENLET_SLOTS_IN_USE` where greenlets are live, `ERR_GREENLET_NO_MEMORY` where there is
 *   no address space for so many slots; nothing has changed then
 * @throws UnsupportedRuntimeError where greenlets do not work
 */
export function configure(options: Options): void {
  refuseSecondCopy()
  const { slots, maxGreenlets, memory, stackSize } = checkOptions(options)
  ensureSupported()
  let done
  try {
    done = addon.configure(slots, maxGreenlets, memory, stackSize)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    // Native checks the environment variables, of which `configure()` changes some.
    if (code === 'InvalidArg') throw rangeError(`configure() also reads the environment variables: ${message}`)
    if (code === 'NumberExpected') {
      throw rangeError(
        `configure(): stackSize is ${stackSize}, but V8 allows ${message} bytes at most on this thread; ` +
          'start Node with a larger --stack-size (and ulimit -s), or the Worker with a larger stackSizeMb',
      )
    }
    const [each, smaller] =
      stackSize === undefined ? ['', ''] : [` of ${stackSize} bytes each`, ', or for smaller ones']
    throw new GreenletError(
      'ERR_GREENLET_NO_MEMORY',
      `no address space for ${slots ?? 'so many'} stack slots${each}; ask for fewer${smaller}`,
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
  const { slots, maxGreenlets, memory, stackSize } = refuseUnknown<Options>('configure()', options, KNOWN)
  checkCount('slots', slots, MAX_SLOTS)
  checkCount('maxGreenlets', maxGreenlets, Number.MAX_SAFE_INTEGER)
  checkCount('memory', memory, Number.MAX_SAFE_INTEGER)
  checkCount('stackSize', stackSize, MAX_STACK_SIZE, MIN_STACK_SIZE)
  return { slots, maxGreenlets, memory, stackSize }
}

function checkCount(name: string, count: unknown, most: number, least = 1): void {
  if (count === undefined) return
  if (typeof count !== 'number' || Number.isNaN(count)) {
    throw typeError(`${name} must be a number, not ${describe(count)}`)
  }
  if (Number.isInteger(count) && count >= least && count <= most) return
  throw rangeError(`${name} must be an integer from ${least} to ${most}, not ${count}`)
}
