/**
 * All greenlets of this thread that have not ended, held weakly.
 *
 * A WeakRef costs as much as a short greenlet's whole life, and it keeps its target until the running job ends. So a new
 * greenlet goes into a plain array, from which its end takes it out again, and only those that outlive the job they were
 * made in get a WeakRef. Nothing is held longer than a WeakRef would hold it.
 */

import { type Inner, main } from './inner.ts'

/** Made in this job. */
const young: Inner[] = []
/** Made in earlier jobs. */
const old = new Set<WeakRef<Inner>>()

let promotionIsDue = false
/** The number of refs at which it is worth while to look for those whose greenlet was collected. */
let sweepAt = 1024

/** Takes in a new greenlet. */
export function enroll(inner: Inner): void {
  inner.place = young.push(inner) - 1
  if (promotionIsDue) return
  promotionIsDue = true
  void Promise.resolve().then(promote)
}

/** Takes out one that has ended. */
export function strike(inner: Inner): void {
  const { place } = inner
  if (typeof place !== 'number') {
    old.delete(place)
    return
  }
  const last = young.pop()!
  if (last === inner) return
  young[place] = last
  last.place = place
}

/** Main first, then in the order in which they were made. */
export function living(): Inner[] {
  const found = [main, ...young]
  for (const ref of old) {
    const inner = ref.deref()
    if (inner !== undefined) found.push(inner)
  }
  return found.toSorted((a, b) => a.serial - b.serial)
}

function promote(): void {
  promotionIsDue = false
  for (const inner of young) {
    const ref = new WeakRef(inner)
    inner.place = ref
    old.add(ref)
  }
  young.length = 0
  if (old.size < sweepAt) return
  for (const ref of old) if (ref.deref() === undefined) old.delete(ref)
  sweepAt = 2 * old.size + 1024
}
