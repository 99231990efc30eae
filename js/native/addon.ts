/**
 * The exports of the native addon, typed.
 */

import loaded from './load.cjs'
import type { Native } from './contract.ts'

/** What the addon knows about the runtime. */
export interface AddonInfo {
  /** Whether greenlets work here. */
  readonly supported: boolean
  /**
   * How V8's idea of the running stack is switched; absent where greenlets do not work. With `GREENLETS_LANE=locker` V8
   * does it itself, by the code of `v8::Locker`, which is slower.
   */
  readonly lane?: 'fast' | 'locker'
  /** Why greenlets do not work here; absent where they do. */
  readonly reason?: string
  /**
   * How many stacks of this thread can be in their slots at once; each slot takes 1 MiB of address space, or the next
   * power of two above a larger stack. Any number of greenlets share the slots: some of the suspended stacks are copied
   * to the heap meanwhile.
   */
  readonly slots?: number
  /** How many bytes of stack JavaScript has in a greenlet of this thread, at least. */
  readonly stackSize?: number
  /** How many suspended stacks of this thread are copied to the heap now. */
  readonly spilled?: number
  /** The bytes that those copies take. */
  readonly spilledBytes?: number
  /** How many greenlets of this thread have a stack now: those that have started and not ended. */
  readonly live?: number
  /** How the ends of the stacks are guarded: by the page table alone, or by `mprotect`. */
  readonly guard?: 'lightweight' | 'protected'
}

interface Addon {
  /** Why the addon could not be loaded. Where it is set, the functions are missing. */
  readonly loadError?: string
  /** `execArgv` are Node's command line options, one a line. */
  runtimeInfo(execArgv: string): AddonInfo
  /** The global object of the realm that Node made for this thread, whichever realm asks. */
  nodeRealm?(): object
  /** Connects this thread. Throws where another copy of the package has connected it. */
  attach(mail: Int32Array, entry: () => void): Native
  /**
   * Returns false where greenlets are live. Throws where there is no address space for the slots; with the code
   * `InvalidArg` where an environment variable has a wrong value; and with the code `NumberExpected` and the most bytes as
   * its message where V8 does not allow stacks of this size.
   */
  configure(slots?: number, maxGreenlets?: number, memory?: number, stackSize?: number): boolean
}

export const addon = loaded.addon as unknown as Addon
/** Where this copy of the package was loaded from. */
export const { location } = loaded
