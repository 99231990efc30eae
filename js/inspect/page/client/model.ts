/** What the page knows: the greenlets and stacks of the last refresh, and counts of the last minutes. */

import type { DeadlockData, GreenletData, StackData } from '../../../dump/data.ts'
import type { Refresh } from '../../feed.ts'

/** So many refreshes are in the timeline. */
const MOST_MOMENTS = 240

/** The counts of one refresh. */
export interface Moment {
  readonly time: number
  readonly suspended: number
  readonly unstarted: number
  /** New or changed greenlets. */
  readonly changed: number
  readonly ended: number
}

/** Greenlets that have the same stack. */
export interface Group {
  readonly index: number
  readonly stack: StackData
  readonly greenlets: GreenletData[]
}

export class Model {
  latest: Refresh | undefined
  readonly greenlets = new Map<number, GreenletData>()
  readonly stacks = new Map<number, StackData>()
  readonly moments: Moment[] = []
  deadlocks: readonly DeadlockData[] = []
  /** When each greenlet was last seen in another state, by `Date.now()` of the server. */
  readonly changedAt = new Map<number, number>()

  apply(refresh: Refresh): void {
    if (refresh.whole) {
      this.greenlets.clear()
      this.stacks.clear()
      this.changedAt.clear()
    }
    for (const [index, stack] of refresh.stacks) this.stacks.set(index, withShortPaths(stack, refresh.folder))
    for (const greenlet of refresh.greenlets) {
      this.greenlets.set(greenlet.id, greenlet)
      this.changedAt.set(greenlet.id, refresh.time - (greenlet.waits?.since ?? 0))
    }
    for (const [id, waits] of refresh.waits) {
      const greenlet = this.greenlets.get(id)
      if (greenlet === undefined) continue
      // The same wait goes on: its times count from when the greenlet was told.
      const { left, since } = greenlet.waits ?? waits
      const times = { ...(left === undefined ? {} : { left }), ...(since === undefined ? {} : { since }) }
      this.greenlets.set(id, { ...greenlet, waits: { ...waits, ...times } })
    }
    for (const id of refresh.ended) {
      this.greenlets.delete(id)
      this.changedAt.delete(id)
    }
    this.latest = refresh
    this.deadlocks = refresh.deadlocks
    const { suspended, unstarted } = refresh.states
    const changed = refresh.whole ? 0 : refresh.greenlets.length + refresh.waits.length
    this.moments.push({ time: refresh.time, suspended, unstarted, changed, ended: refresh.ended.length })
    if (this.moments.length > MOST_MOMENTS) this.moments.shift()
  }

  /** Those in which the text occurs: in the name, the state, the wait, the id or a frame. */
  matching(text: string, states: ReadonlySet<string>): GreenletData[] {
    const wanted = text.trim().toLowerCase()
    const inStack = new Map<number, boolean>()
    const stackHas = (index: number | undefined): boolean => {
      if (index === undefined) return false
      let has = inStack.get(index)
      if (has === undefined) {
        has = this.stacks.get(index)?.frames.some((frame) => frame.text.toLowerCase().includes(wanted)) ?? false
        inStack.set(index, has)
      }
      return has
    }
    const found: GreenletData[] = []
    for (const greenlet of this.greenlets.values()) {
      if (states.size > 0 && !states.has(greenlet.state)) continue
      if (wanted !== '') {
        const { id, name, state, waits } = greenlet
        const own = `#${id} ${name} ${state} ${waits?.text ?? ''}`.toLowerCase()
        if (!own.includes(wanted) && !stackHas(greenlet.stack)) continue
      }
      found.push(greenlet)
    }
    return found
  }

  /** Greenlets by stack, the largest groups first. */
  groups(greenlets: readonly GreenletData[]): Group[] {
    const groups = new Map<number, Group>()
    for (const greenlet of greenlets) {
      const index = greenlet.stack
      const stack = index === undefined ? undefined : this.stacks.get(index)
      if (index === undefined || stack === undefined) continue
      const group = groups.get(index)
      if (group === undefined) groups.set(index, { index, stack, greenlets: [greenlet] })
      else group.greenlets.push(greenlet)
    }
    return [...groups.values()].toSorted((a, b) => b.greenlets.length - a.greenlets.length)
  }

  /** The innermost frame that is not one of the package. */
  topOf({ stack }: GreenletData): string {
    const frames = stack === undefined ? undefined : this.stacks.get(stack)?.frames
    return (frames?.find(({ own, file }) => !own && !file?.startsWith('node:')) ?? frames?.[0])?.text ?? ''
  }
}

/** Paths as seen from the working directory. */
function withShortPaths(stack: StackData, folder: string): StackData {
  if (folder.length < 2) return stack
  const frames = stack.frames.map((frame) => ({
    ...frame,
    text: frame.text.replace(`file://${folder}`, '').replace(folder, ''),
  }))
  return { ...stack, frames }
}
