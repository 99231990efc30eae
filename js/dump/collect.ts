/**
 * Collects what a dump says of this thread. It calls no code of the program, switches to no greenlet and never throws, so it
 * may run wherever the thread is: in a callback, in a greenlet, or where a debugger has stopped it.
 */

import { threadId } from 'node:worker_threads'
import type { ToolWait } from '../common/tool-wait.ts'
import { version } from '../common/version.ts'
import { finishEnded } from '../core/lifecycle.ts'
import { DEAD, type GreenletRecord, UNSTARTED } from '../core/record.ts'
import { registeredRecords } from '../core/registry.ts'
import { main, thread } from '../core/thread.ts'
import { type Greenlet, isGreenlet, recordOf } from '../greenlet/greenlet.ts'
import { stackSizeOf } from '../greenlet/state.ts'
import { endlessWaitOf, timersNow, type Wait, waitOf } from '../hub/wait-of.ts'
import { refusal } from '../native/copies.ts'
import { cyclesOf, type Edge } from './deadlocks.ts'
import type { DeadlockData, DumpData, GreenletData, StackData, ThreadData, WaitData } from './data.ts'
import { DEFAULT_EXTENT, emptyThread, type Extent } from './extent.ts'
import { siteOf } from './origins.ts'
import { jsonOf } from './json.ts'
import { clean, kindOf } from './safe.ts'
import { runningFrames, Stacks } from './stacks.ts'

// The program may replace it later.
const { Date: OwnDate } = globalThis
const ownProcess = process

/** The greenlets of this thread. */
export function collectThread(extent: Extent = DEFAULT_EXTENT): ThreadData {
  const problem = refusal()
  if (problem !== undefined) return emptyThread(threadId, clean(problem, 1000))
  finishEnded()
  return new Collection(extent).collect()
}

/** The same, as {@link DumpData}, for a program that asks from outside; see protocol.ts. */
export function dumpJSON(extent?: Partial<Extent>): string {
  return jsonOf(dumpOf([collectThread({ ...DEFAULT_EXTENT, ...extent })]))
}

export function dumpOf(threads: readonly ThreadData[]): DumpData {
  const { pid, versions } = ownProcess
  return { version: 1, pid, node: versions.node, greenlets: version, time: new OwnDate().toISOString(), threads }
}

/** Reads greenlets. Equal stacks, and the same promises and tools, keep their numbers as long as it lives. */
export class Collection {
  readonly #extent: Extent
  readonly #stacks: Stacks
  #now = timersNow()
  /** The numbers of promises and tools. They are not kept alive. */
  readonly #objects = new WeakMap<object, number>()
  #numbered = 0

  constructor(extent: Extent) {
    this.#extent = extent
    this.#stacks = new Stacks(extent.frames)
  }

  /** All stacks so far. */
  get stacks(): readonly StackData[] {
    return this.#stacks.list
  }

  /** Before greenlets are read at another time. */
  begin(): void {
    this.#now = timersNow()
  }

  collect(): ThreadData {
    const records = registeredRecords()
    const states = countStates(records)
    const deadlocks = this.deadlocks(records)
    const shown = this.select(records, deadlocks)
    const { asker, frames } = this.#extent
    const runningStack = asker === undefined || !thread.attached ? [] : runningFrames(asker, frames)
    const greenlets = shown.map((record) => this.greenlet(record))
    return {
      threadId,
      running: thread.current.serial,
      ...(runningStack.length === 0 ? {} : { runningStack }),
      total: records.length,
      states,
      omitted: records.length - shown.length,
      greenlets,
      stacks: this.#stacks.list,
      deadlocks,
    }
  }

  /** The first ones, the one that runs, and those of deadlocks. */
  select(records: GreenletRecord[], deadlocks: readonly DeadlockData[]): GreenletRecord[] {
    const { limit } = this.#extent
    if (records.length <= limit) return records
    const wanted = new Set([thread.current.serial])
    for (const { greenlets } of deadlocks) {
      for (const id of greenlets) if (wanted.size < limit) wanted.add(id)
    }
    let free = limit - wanted.size
    return records.filter(({ serial }) => wanted.has(serial) || free-- > 0)
  }

  /** What a dump says of one greenlet. */
  greenlet(record: GreenletRecord): GreenletData {
    const state = stateOf(record)
    const wait = waitOf(record, this.#now)
    const stack = wait === undefined || this.#extent.frames === 0 ? undefined : this.#stacks.add(record)
    const bytes = wait === undefined || record === main ? 0 : stackSizeOf(record)
    const { origin } = record
    const site = siteOf(record)
    return {
      id: record.serial,
      name: clean(record.name),
      state,
      parent: record.parent?.serial ?? null,
      ...(wait === undefined ? {} : { waits: this.#wait(wait, record) }),
      ...(stack === undefined ? {} : { stack }),
      ...(bytes === 0 ? {} : { bytes }),
      ...(record.ending === undefined ? {} : { ending: true }),
      ...(origin === undefined ? {} : { spawner: { id: origin.id, name: clean(origin.name) } }),
      ...(site === undefined ? {} : { site }),
    }
  }

  /** What a greenlet waits for, alone: its stack is not read. */
  waitsOf(record: GreenletRecord): WaitData | undefined {
    const wait = waitOf(record, this.#now)
    return wait === undefined ? undefined : this.#wait(wait, record)
  }

  #wait(wait: Wait, record: GreenletRecord): WaitData {
    const { limit, since } = wait
    const goal = this.#goal(wait, record)
    const left = limit?.left
    const timed = wait.kind !== 'timer' && limit !== undefined
    return {
      ...goal,
      ...(timed ? { text: `${goal.text}, ${timeLeft(limit)}` } : {}),
      ...(limit === undefined ? {} : { ms: limit.ms }),
      ...(left === undefined ? {} : { left: Math.round(left) }),
      ...(since === undefined ? {} : { since: Math.round(since) }),
    }
  }

  #goal(wait: Wait, record: GreenletRecord): Pick<WaitData, 'kind' | 'text' | 'on' | 'object'> {
    switch (wait.kind) {
      case 'switch':
        return { kind: 'switch', text: record === main ? 'the greenlet that runs' : 'a switch to it' }
      case 'turn':
        return { kind: 'turn', text: 'its turn: the wait is over' }
      case 'timer':
        return { kind: 'timer', text: wait.limit === undefined ? 'a timer' : sleepText(wait.limit) }
      case 'promise':
        return { kind: 'promise', text: 'a promise', object: this.#numberOf(wait.value as object) }
      case 'thenable':
        return {
          kind: 'thenable',
          text: `a thenable (${kindOf(wait.value)})`,
          object: this.#numberOf(wait.value as object),
        }
      case 'greenlet': {
        const on = [wait.greenlet.serial]
        return { kind: 'greenlet', text: `the end of ${quote(wait.greenlet)}`, on }
      }
      default:
        return this.#tool(wait.told)
    }
  }

  #tool({ kind, tool, waiting, holder, joined }: ToolWait): Pick<WaitData, 'kind' | 'text' | 'on' | 'object'> {
    const others = waiting > 1 ? `, ${waiting} wait` : ''
    const owner = isGreenlet(holder) ? recordOf(holder as Greenlet) : undefined
    const joining = joined === undefined ? [] : joined.filter(isGreenlet).map((each) => recordOf(each as Greenlet))
    const on = [...(owner === undefined ? [] : [owner]), ...joining.filter(({ state }) => state !== DEAD)]
    const object = this.#numberOf(tool)
    const name = kind === 'greenlets' ? '' : `${ARTICLES[kind]} #${object}`
    const text =
      kind === 'lock'
        ? `${name} of ${owner === undefined ? 'no greenlet' : quote(owner)}${others}`
        : joined === undefined
          ? `${name}${others}`
          : `${name}${name && ': '}the end of ${listOf(on)}`
    return { kind, text, ...(on.length === 0 ? {} : { on: on.map(({ serial }) => serial) }), object }
  }

  #numberOf(object: object): number {
    const known = this.#objects.get(object)
    if (known !== undefined) return known
    this.#objects.set(object, ++this.#numbered)
    return this.#numbered
  }

  /** Waits that cannot end. */
  deadlocks(records: readonly GreenletRecord[]): DeadlockData[] {
    const edges = new Map<number, Edge>()
    const waiters = new Map<number, GreenletRecord>()
    const abandoned = new Map<object, GreenletRecord[]>()
    for (const record of records) {
      const wait = endlessWaitOf(record)
      if (wait === undefined || (wait.kind === 'tool' && !hasGreenlets(wait.told))) continue
      const { on, text } = this.#goal(wait, record)
      if (on === undefined) continue
      waiters.set(record.serial, record)
      edges.set(record.serial, { from: record.serial, to: on, text })
      if (wait.kind !== 'tool') continue
      const { holder, tool } = wait.told
      if (!isGreenlet(holder) || recordOf(holder as Greenlet).state !== DEAD) continue
      const others = abandoned.get(tool)
      if (others === undefined) abandoned.set(tool, [record])
      else others.push(record)
    }
    const nameOf = (id: number): string => quote(waiters.get(id)!)
    const ended = [...abandoned.values()].map((records): DeadlockData => {
      const greenlets = records.map(({ serial }) => serial)
      const wait = `${greenlets.length === 1 ? 'waits' : 'wait'} for ${edges.get(greenlets[0]!)!.text}`
      return { kind: 'abandoned', greenlets, text: `${listOf(records)} ${wait}, which has ended` }
    })
    return [...cyclesOf(edges, nameOf), ...ended]
  }
}

/** With an article, so that a text reads well. */
const ARTICLES: Readonly<Record<Exclude<ToolWait['kind'], 'greenlets'>, string>> = {
  lock: 'Lock',
  condition: 'Condition',
  semaphore: 'Semaphore',
  event: 'Event',
  'queue item': 'an item of Queue',
  'queue place': 'a place in Queue',
  pool: 'Pool',
  group: 'group',
}

/** So many names are in a text. */
const MOST_NAMES = 5

function listOf(records: readonly GreenletRecord[]): string {
  const names = records.slice(0, MOST_NAMES).map(quote)
  const more = records.length - names.length
  return more > 0 ? `${names.join(', ')} and ${more} more` : names.join(', ') || 'promises'
}

function hasGreenlets({ holder, joined }: ToolWait): boolean {
  return isGreenlet(holder) || joined !== undefined
}

/** How many are in each state. */
export function countStates(records: readonly GreenletRecord[]): ThreadData['states'] {
  const states = { unstarted: 0, running: 0, suspended: 0 }
  for (const record of records) states[stateOf(record)]++
  return states
}

/** As {@link Greenlet.state}. */
export function stateOf(record: GreenletRecord): 'unstarted' | 'running' | 'suspended' {
  if (record === thread.current) return 'running'
  return record.state === UNSTARTED ? 'unstarted' : 'suspended'
}

function quote(record: GreenletRecord): string {
  return `'${clean(record.name)}' (#${record.serial})`
}

function sleepText({ ms, left }: { readonly ms: number; readonly left?: number }): string {
  return left === undefined ? `sleep(${ms})` : `sleep(${ms}), ${Math.round(left)} ms left`
}

function timeLeft({ ms, left }: { readonly ms: number; readonly left?: number }): string {
  return left === undefined ? `at most ${ms} ms` : `${Math.round(left)} of ${ms} ms left`
}
