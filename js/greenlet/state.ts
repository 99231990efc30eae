/**
 * What a greenlet is doing, and how large its stack is.
 */

import { finishEnded } from '../core/lifecycle.ts'
import { DEAD, type GreenletRecord, UNSTARTED } from '../core/record.ts'
import { thread } from '../core/thread.ts'
import { setSubject } from '../native/contract.ts'

/**
 * What a greenlet is doing. `'running'` is the current one alone.
 *
 * @example
 * ```js
 * new Greenlet(() => {}).state // 'unstarted'
 * Greenlet.main.state // 'running'
 * ```
 */
export type GreenletState = 'unstarted' | 'running' | 'suspended' | 'dead'

/** See `Greenlet.prototype.state`. */
export function stateOf(record: GreenletRecord): GreenletState {
  finishEnded()
  if (record === thread.current) return 'running'
  if (record.state === UNSTARTED) return 'unstarted'
  return record.state === DEAD ? 'dead' : 'suspended'
}

/** See `Greenlet.prototype.stackSize`. */
export function stackSizeOf({ index, generation }: GreenletRecord): number {
  if (index === -1) return 0
  finishEnded()
  const { current } = thread
  if (current.index === index && current.generation === generation) return 0
  setSubject(index, generation)
  return thread.native.stackSize()
}
