/**
 * The registry: all greenlets of this thread that have not ended. It keeps none of them alive:
 *
 *     fresh       made in this job, or started in it         an array, which holds them no longer than a WeakRef would
 *     unstarted   outlived the job they were made in         WeakRef<GreenletRecord>: collected once unreachable
 *     started     outlived the job they were started in      the record stays, because its stack does; the Greenlet is held
 *                                                            weakly, and a FinalizationRegistry tells when it was collected
 *
 * A WeakRef costs as much as a whole short greenlet, and it keeps its target alive until the running job ends. So most
 * greenlets never get one.
 */

import { type GreenletObject, type GreenletRecord, UNSTARTED } from './record.ts'
import { main, thread } from './thread.ts'

const fresh: GreenletRecord[] = []
const unstarted = new Set<WeakRef<GreenletRecord>>()
const started = new Set<GreenletRecord>()

const finalization = new FinalizationRegistry<GreenletRecord>((record) => {
  // The record may have got a new object since; see `greenletOf`.
  if (record.weakGreenlet?.deref() === undefined) thread.onUnreachable?.(record)
})

/** Adds a new greenlet. */
export function register(record: GreenletRecord): void {
  record.registryPlace = fresh.push(record) - 1
  if (thread.sortingIsQueued) return
  thread.native.enqueueMicrotask(sortFresh)
  thread.sortingIsQueued = true
}

/** For a greenlet that starts: from now on its record is kept, because its stack is kept too. */
export function registerStarted(record: GreenletRecord): void {
  const { registryPlace } = record
  if (typeof registryPlace === 'number') return
  record.registryPlace = -1
  if (registryPlace !== undefined) unstarted.delete(registryPlace)
  register(record)
}

/** Removes a greenlet that has ended. */
export function unregister(record: GreenletRecord): void {
  const { registryPlace } = record
  if (registryPlace === undefined) {
    started.delete(record)
  } else if (typeof registryPlace !== 'number') {
    unstarted.delete(registryPlace)
  } else {
    const last = fresh.pop()!
    if (last === record) return
    fresh[registryPlace] = last
    last.registryPlace = registryPlace
  }
}

/** The greenlets that have not ended: main first, then in the order in which they were made. */
export function registeredRecords(): GreenletRecord[] {
  const found = [main].concat(fresh)
  started.forEach((record) => found.push(record))
  unstarted.forEach((ref) => {
    const record = ref.deref()
    if (record !== undefined) found.push(record)
  })
  return found.toSorted((a, b) => a.serial - b.serial)
}

/**
 * From now on `record` does not keep `greenlet` alive, and `thread.onUnreachable` is called after `greenlet` was
 * collected.
 */
export function holdWeakly(record: GreenletRecord, greenlet: GreenletObject): void {
  record.weakGreenlet = new WeakRef(greenlet)
  record.greenlet = undefined
  finalization.register(greenlet, record)
}

/** At the end of a job: what is still registered as fresh has outlived it. */
function sortFresh(): void {
  thread.sortingIsQueued = false
  fresh.forEach((record) => {
    if (record.state === UNSTARTED) {
      const ref = new WeakRef(record)
      record.registryPlace = ref
      unstarted.add(ref)
    } else {
      record.registryPlace = undefined
      started.add(record)
      if (record.greenlet !== undefined) holdWeakly(record, record.greenlet)
    }
  })
  fresh.length = 0
  if (unstarted.size < thread.sweepAt) return
  unstarted.forEach((ref) => {
    if (ref.deref() === undefined) unstarted.delete(ref)
  })
  thread.sweepAt = 2 * unstarted.size + 1024
}
