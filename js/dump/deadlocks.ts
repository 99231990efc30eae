/**
 * Finds waits that no other greenlet can end: greenlets that wait for each other in a circle, and locks of greenlets that have
 * ended.
 */

import type { DeadlockData } from './data.ts'

/** A wait of one greenlet for others, each of which has to do something before it can go on. */
export interface Edge {
  readonly from: number
  readonly to: readonly number[]
  /** The text of the wait. */
  readonly text: string
}

/** All circles together have at most so many greenlets, beyond the first circle. */
const MOST_GREENLETS = 10_000
/** So many waits of a circle are in its text. */
const MOST_WAITS = 20

/**
 * Where there are very many, the last one says that others are left out.
 *
 * @param nameOf quotes a greenlet
 */
export function cyclesOf(edges: ReadonlyMap<number, Edge>, nameOf: (id: number) => string): DeadlockData[] {
  const found: DeadlockData[] = []
  let total = 0
  const done = new Set<number>()
  for (const start of edges.keys()) {
    if (done.has(start)) continue
    // Depth first, without recursion: a chain of waits can be long.
    const path: { readonly id: number; next: number }[] = [{ id: start, next: 0 }]
    const places = new Map([[start, 0]])
    while (path.length > 0) {
      const step = path.at(-1)!
      const target = edges.get(step.id)?.to[step.next++]
      if (target === undefined) {
        done.add(step.id)
        places.delete(step.id)
        path.pop()
        continue
      }
      const place = places.get(target)
      if (place !== undefined) {
        total += path.length - place
        if (found.length > 0 && total > MOST_GREENLETS) {
          const last = found.pop()!
          return [...found, { ...last, text: `${last.text}; more greenlets wait for each other, and are left out` }]
        }
        const ids = path.slice(place).map(({ id }) => id)
        found.push(cycle(ids, edges, nameOf))
      } else if (!done.has(target) && edges.has(target)) {
        places.set(target, path.length)
        path.push({ id: target, next: 0 })
      }
    }
  }
  return found
}

function cycle(ids: readonly number[], edges: ReadonlyMap<number, Edge>, nameOf: (id: number) => string): DeadlockData {
  const waits = ids.slice(0, MOST_WAITS).map((id) => `${nameOf(id)} waits for ${edges.get(id)!.text}`)
  if (ids.length > waits.length) waits.push(`and ${ids.length - waits.length} more in the same circle`)
  return { kind: 'cycle', greenlets: ids, text: waits.join('; ') }
}
