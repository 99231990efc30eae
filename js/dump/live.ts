/**
 * What has changed in this thread since the last look, for a page that is refreshed often: a greenlet that was not resumed has the
 * same stack, so only the others are read again. It keeps no greenlet alive.
 */

import { isPromise } from 'node:util/types'
import { toldOf, type ToolWait } from '../common/tool-wait.ts'
import { DEAD, type GreenletRecord } from '../core/record.ts'
import { registeredRecords } from '../core/registry.ts'
import { thread } from '../core/thread.ts'
import { type Greenlet, isGreenlet, recordOf } from '../greenlet/greenlet.ts'
import { setSubject } from '../native/contract.ts'
import { Collection, countStates, stateOf } from './collect.ts'
import { DEFAULT_EXTENT, type Extent } from './extent.ts'
import type { DeadlockData, GreenletData, StackData, ThreadData, WaitData } from './data.ts'

/** The changes of one look. */
export interface Changes extends Pick<ThreadData, 'running' | 'total' | 'states' | 'omitted'> {
  /** Whether these are all greenlets and stacks, and not only the changed ones. */
  readonly whole: boolean
  readonly greenlets: readonly GreenletData[]
  /** What others have changed of the waits of greenlets that were not resumed, by their ids. */
  readonly waits: readonly (readonly [number, WaitData])[]
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
  /** How many wait for the same tool. */
  waiting: number
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
    const waits: (readonly [number, WaitData])[] = []
    for (const record of shown) {
      const changed = this.#changeOf(record, look)
      if (changed === 'greenlet') greenlets.push(this.#collection.greenlet(record))
      // Its stack is the same, and capturing it is most of the work.
      const wait = changed === 'wait' ? this.#collection.waitsOf(record) : undefined
      if (wait !== undefined) waits.push([record.serial, wait])
    }
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
    const omitted = total - shown.length
    return { whole, running, total, states, omitted, greenlets, waits, ended, stacks, deadlocks }
  }

  /** Whether the greenlet has changed, or others have changed its wait. Also notes that it was seen. */
  #changeOf(record: GreenletRecord, look: number): 'greenlet' | 'wait' | undefined {
    const { serial, blockingCall, ending, label } = record
    const promise = blockingCall?.waitsFor
    const told = isPromise(promise) ? toldOf(promise) : undefined
    const state = stateOf(record)
    const outcome = blockingCall?.outcome
    const now = {
      state,
      epoch: epochOf(record),
      outcome,
      isEnding: ending !== undefined,
      name: label,
      parent: record.parent?.serial,
      goal: told === undefined ? -1 : goalOf(told),
      waiting: told === undefined ? 0 : told.waiting,
    }
    const seen = this.#seen.get(serial)
    if (seen === undefined) {
      this.#seen.set(serial, { ...now, look })
      return 'greenlet'
    }
    seen.look = look
    const isSame =
      seen.state === state &&
      seen.epoch === now.epoch &&
      seen.outcome === outcome &&
      seen.isEnding === now.isEnding &&
      seen.name === label &&
      seen.parent === now.parent
    if (isSame && seen.goal === now.goal && seen.waiting === now.waiting) return undefined
    Object.assign(seen, now)
    return isSame ? 'wait' : 'greenlet'
  }
}

/**
 * What other greenlets change of its wait: the holder of the lock, or how many of the joined ones have not ended; -1 where there is no
 * such thing.
 */
function goalOf({ holder, joined }: ToolWait): number {
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
