/**
 * What has changed in this thread since the last look, for a page that is refreshed often: a greenlet that was not resumed has the
 * same stack, so only the others are read again. It keeps no greenlet alive.
 */

import { isPromise } from 'node:util/types'
import { toldOf } from '../common/tool-wait.ts'
import { DEAD, type GreenletRecord } from '../core/record.ts'
import { registeredRecords } from '../core/registry.ts'
import { thread } from '../core/thread.ts'
import { type Greenlet, isGreenlet, recordOf } from '../greenlet/greenlet.ts'
import { setSubject } from '../native/contract.ts'
import { Collection, countStates, stateOf } from './collect.ts'
import { DEFAULT_EXTENT, type Extent } from './extent.ts'
import type { DeadlockData, GreenletData, StackData, ThreadData } from './data.ts'

/** The changes of one look. */
export interface Changes extends Pick<ThreadData, 'running' | 'total' | 'states' | 'omitted'> {
  /** Whether these are all greenlets and stacks, and not only the changed ones. */
  readonly whole: boolean
  readonly greenlets: readonly GreenletData[]
  /** The ids of those that have ended, or that the limit leaves out now. */
  readonly ended: readonly number[]
  readonly stacks: readonly (readonly [number, StackData])[]
  readonly deadlocks: readonly DeadlockData[]
}

/** With more different stacks than these it begins anew, so that it does not grow for ever. */
const MOST_STACKS = 20_000

/** What was seen of a greenlet: while all of it is the same, so is what a dump says of it, but for times. */
interface Seen {
  state: string
  epoch: number
  outcome: string | undefined
  isEnding: boolean
  name: string | undefined
  parent: number | undefined
  /** See {@link goalOf}. */
  goal: number
  look: number
}

/** Looks at this thread again and again. */
export class LiveThread {
  readonly #extent: Extent
  #collection: Collection
  readonly #seen = new Map<number, Seen>()
  #look = 0
  /** How many stacks were told. */
  #told = 0

  constructor(extent: Extent = DEFAULT_EXTENT) {
    this.#extent = extent
    this.#collection = new Collection(extent)
  }

  /** Everything at the first time, and then the changes. */
  look(): Changes {
    if (this.#collection.stacks.length > MOST_STACKS) {
      this.#collection = new Collection(this.#extent)
      this.#seen.clear()
      this.#told = 0
    }
    const whole = this.#seen.size === 0
    const look = ++this.#look
    const records = registeredRecords()
    const states = countStates(records)
    const deadlocks = this.#collection.deadlocks(records)
    const shown = this.#collection.select(records, deadlocks)
    this.#collection.begin()
    const greenlets: GreenletData[] = []
    for (const record of shown) if (this.#hasChanged(record, look)) greenlets.push(this.#collection.greenlet(record))
    const ended: number[] = []
    if (this.#seen.size > shown.length) {
      for (const [serial, seen] of this.#seen) {
        if (seen.look === look) continue
        ended.push(serial)
        this.#seen.delete(serial)
      }
    }
    const all = this.#collection.stacks
    const stacks = all.slice(this.#told).map((stack, i) => [this.#told + i, stack] as const)
    this.#told = all.length
    const { length: total } = records
    const running = thread.current.serial
    return { whole, running, total, states, omitted: total - shown.length, greenlets, ended, stacks, deadlocks }
  }

  /** Also notes that it was seen. */
  #hasChanged(record: GreenletRecord, look: number): boolean {
    const { serial, blockingCall, ending, label } = record
    const state = stateOf(record)
    const outcome = blockingCall?.outcome
    const now = {
      state,
      epoch: epochOf(record),
      outcome,
      isEnding: ending !== undefined,
      name: label,
      parent: record.parent?.serial,
      goal: goalOf(record),
    }
    const seen = this.#seen.get(serial)
    if (seen === undefined) {
      this.#seen.set(serial, { ...now, look })
      return true
    }
    seen.look = look
    const isSame =
      seen.state === state &&
      seen.epoch === now.epoch &&
      seen.outcome === outcome &&
      seen.isEnding === now.isEnding &&
      seen.name === label &&
      seen.parent === now.parent &&
      seen.goal === now.goal
    if (isSame) return false
    Object.assign(seen, now)
    return true
  }
}

/**
 * What other greenlets change of its wait: the holder of the lock, or how many of the joined ones have not ended; -1 where there is no
 * such thing.
 */
function goalOf({ blockingCall }: GreenletRecord): number {
  const promise = blockingCall?.waitsFor
  const told = isPromise(promise) ? toldOf(promise) : undefined
  if (told === undefined) return -1
  const { holder, joined } = told
  if (joined !== undefined) {
    let alive = 0
    for (const each of joined) if (isGreenlet(each) && recordOf(each as Greenlet).state !== DEAD) alive++
    return alive
  }
  return isGreenlet(holder) ? recordOf(holder as Greenlet).serial : -1
}

/** How often a greenlet was resumed; -1 where it has no stack. Main has no epoch that changes. */
function epochOf({ index, generation }: GreenletRecord): number {
  if (index < 0 || !thread.attached) return -1
  setSubject(index, generation)
  return thread.native.epoch()
}
