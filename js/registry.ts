/**
 * All greenlets of this thread that have not ended. None is kept alive by being listed here:
 *
 *     young       made in this job, or started in it         an array, held for no longer than a WeakRef would
 *     unstarted   outlived the job they were made in         WeakRef<Inner>: gone once nobody can switch to them
 *     started     outlived the job they were started in      the Inner stays, as its stack does; the Greenlet is held weakly,
 *                                                            and a FinalizationRegistry tells when nobody can reach it
 *
 * A WeakRef costs as much as a short greenlet's whole life, and it keeps its target until the running job ends. So most
 * greenlets never get one.
 */

import type { Greenlet } from './greenlet.ts'
import { type Inner, main, UNSTARTED } from './inner.ts'
import type { Native } from './native.ts'

const young: Inner[] = []
const unstarted = new Set<WeakRef<Inner>>()
const started = new Set<Inner>()

let native: Native
let promotionIsDue = false
/** The number of unstarted refs at which it is worth while to look for those whose greenlet was collected. */
let sweepAt = 1024

let onUnreachable: (inner: Inner) => void
const finalization = new FinalizationRegistry<Inner>((inner) => {
  // Somebody may have asked for its object, and got a new one, since.
  if (inner.weak?.deref() === undefined) onUnreachable(inner)
})

/** Who is told of greenlets that have started, have not ended, and can be reached by nobody. Not during a collection. */
export function whenUnreachable(listener: (inner: Inner) => void): void {
  onUnreachable = listener
}

/** To be called before a greenlet is taken in. */
export function connectRegistry(attached: Native): void {
  native = attached
}

/** Takes in a new greenlet, or one that starts. */
export function enroll(inner: Inner): void {
  inner.place = young.push(inner) - 1
  if (promotionIsDue) return
  native.enqueueMicrotask(promote)
  promotionIsDue = true
}

/** A greenlet starts: from now on its Inner is kept, for its stack is too. */
export function enrollStarted(inner: Inner): void {
  const { place } = inner
  if (typeof place === 'number') return
  inner.place = -1
  if (place !== undefined) unstarted.delete(place)
  enroll(inner)
}

/** Takes out one that has ended. */
export function strike(inner: Inner): void {
  const { place } = inner
  if (place === undefined) {
    started.delete(inner)
  } else if (typeof place !== 'number') {
    unstarted.delete(place)
  } else {
    const last = young.pop()!
    if (last === inner) return
    young[place] = last
    last.place = place
  }
}

/** Main first, then in the order in which they were made. */
export function living(): Inner[] {
  const found = [main].concat(young)
  started.forEach((inner) => found.push(inner))
  unstarted.forEach((ref) => {
    const inner = ref.deref()
    if (inner !== undefined) found.push(inner)
  })
  return found.toSorted((a, b) => a.serial - b.serial)
}

/** From now on `inner` does not keep `greenlet` alive, and whoever listens is told when nothing else does. */
export function hold(inner: Inner, greenlet: Greenlet): void {
  inner.weak = new WeakRef(greenlet)
  inner.strong = undefined
  finalization.register(greenlet, inner)
}

function promote(): void {
  promotionIsDue = false
  young.forEach((inner) => {
    if (inner.life === UNSTARTED) {
      const ref = new WeakRef(inner)
      inner.place = ref
      unstarted.add(ref)
    } else {
      inner.place = undefined
      started.add(inner)
      if (inner.strong !== undefined) hold(inner, inner.strong)
    }
  })
  young.length = 0
  if (unstarted.size < sweepAt) return
  unstarted.forEach((ref) => {
    if (ref.deref() === undefined) unstarted.delete(ref)
  })
  sweepAt = 2 * unstarted.size + 1024
}
