/**
 * The registry: all greenlets of this thread that have not ended. It keeps none of them alive for long:
 *
 *     recent      not yet sorted                    an array, which keeps the records and their Greenlets
 *     unstarted   sorted before they were started   WeakRef<GreenletRecord>: collected once unreachable
 *     started     sorted after that                 the record stays, because its stack does; the Greenlet is held weakly,
 *                                                   and a FinalizationRegistry tells when it was collected
 *
 * Recent ones are sorted after each full collection. Only a full collection frees what a WeakRef or a FinalizationRegistry
 * refers to: a young collection takes it for alive, so it becomes old. A greenlet that ends before it is sorted has
 * neither, and is young garbage.
 */

import { type GreenletObject, type GreenletRecord, UNSTARTED } from './record.ts'
import { main, thread } from './thread.ts'

const recent: GreenletRecord[] = []
const unstarted = new Set<WeakRef<GreenletRecord>>()
const started = new Set<GreenletRecord>()

const finalization = new FinalizationRegistry<GreenletRecord>((record) => {
  // The record may have got a new object since; see `greenletOf`.
  if (record.weakGreenlet?.deref() === undefined) thread.onUnreachable?.(record)
})

/** Calls back after a full collection, because only that frees an object which is registered here. */
const collections = new FinalizationRegistry(sortRecent)

/** Adds a new greenlet. */
export function register(record: GreenletRecord): void {
  record.registryPlace = recent.push(record) - 1
  if (thread.collectionIsAwaited) return
  collections.register({}, undefined)
  thread.collectionIsAwaited = true
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
    const last = recent.pop()!
    if (last === record) return
    recent[registryPlace] = last
    last.registryPlace = registryPlace
  }
}

/** The greenlets that have not ended: main first, then in the order in which they were made. */
export function registeredRecords(): GreenletRecord[] {
  const found = [main].concat(recent)
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

/** After a full collection: forgets unstarted greenlets that it has freed, and sorts the recent ones. */
function sortRecent(): void {
  thread.collectionIsAwaited = false
  unstarted.forEach((ref) => {
    if (ref.deref() === undefined) unstarted.delete(ref)
  })
  recent.forEach((record) => {
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
  recent.length = 0
}
