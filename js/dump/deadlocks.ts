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

/** @param nameOf quotes a greenlet */
export function cyclesOf(edges: ReadonlyMap<number, Edge>, nameOf: (id: number) => string): DeadlockData[] {
  const found: DeadlockData[] = []
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
      if (place !== undefined)
        found.push(
          cycle(
            path.slice(place).map(({ id }) => id),
            edges,
            nameOf,
          ),
        )
      else if (!done.has(target) && edges.has(target)) {
        places.set(target, path.length)
        path.push({ id: target, next: 0 })
      }
    }
  }
  return found
}

function cycle(ids: readonly number[], edges: ReadonlyMap<number, Edge>, nameOf: (id: number) => string): DeadlockData {
  const text = ids.map((id) => `${nameOf(id)} waits for ${edges.get(id)!.text}`).join('; ')
  return { kind: 'cycle', greenlets: ids, text }
}
