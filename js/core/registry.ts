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
 *
 * A job that makes many greenlets sorts those that have started before it ends. Then they have references of native only,
 * since a WeakRef keeps its target until the job ends. Native can also tell, in the same job, which of them were collected.
 */

import { FULL_COLLECTIONS, mail } from '../native/contract.ts'
import { DEAD, type GreenletObject, type GreenletRecord, UNSTARTED } from './record.ts'
import { main, thread } from './thread.ts'

/** When a job has made so many greenlets, they are sorted. */
const MANY = 1024

const recent: GreenletRecord[] = []
const unstarted = new Set<WeakRef<GreenletRecord>>()
const started = new Set<GreenletRecord>()
/** The records for native's weak references, by their places. */
const held: (GreenletRecord | undefined)[] = []
/** Those of them that have no WeakRef yet. */
const heldByNative = new Set<GreenletRecord>()
/** What changes. */
const now = {
  /** How many recent ones are sorted next. */
  many: MANY,
  /** The full collections after which native was asked. */
  collections: 0,
}

const finalization = new FinalizationRegistry<GreenletRecord>((record) => {
  // The record may have got a new object since; see `greenletOf`.
  if (objectOf(record) === undefined) thread.onUnreachable?.(record)
})

/** Calls back after a full collection, because only that frees an object which is registered here. */
const collections = new FinalizationRegistry(sortRecent)

/** Adds a new greenlet. */
export function register(record: GreenletRecord): void {
  record.registryPlace = recent.push(record) - 1
  if (recent.length >= now.many) sortStarted()
  awaitCollection()
}

function awaitCollection(): void {
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
    if (record.weakPlace !== -1) releaseNative(record)
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

/** The public object of a record; undefined where it was collected. */
export function objectOf({ greenlet, weakGreenlet, weakPlace }: GreenletRecord): GreenletObject | undefined {
  if (greenlet !== undefined) return greenlet
  if (weakGreenlet !== undefined) return weakGreenlet.deref()
  return weakPlace === -1 ? undefined : (thread.native.weaklyHeld(weakPlace) as GreenletObject | undefined)
}

/**
 * From now on `record` does not keep `greenlet` alive, and `thread.onUnreachable` is called after `greenlet` was
 * collected.
 */
export function holdWeakly(record: GreenletRecord, greenlet: GreenletObject): void {
  if (record.weakPlace !== -1) releaseNative(record)
  if (record.state !== DEAD && record !== main) holdByNative(record, greenlet)
  holdByWeakRef(record, greenlet)
}

function holdByWeakRef(record: GreenletRecord, greenlet: GreenletObject): void {
  record.weakGreenlet = new WeakRef(greenlet)
  record.greenlet = undefined
  finalization.register(greenlet, record)
}

function holdByNative(record: GreenletRecord, greenlet: GreenletObject): void {
  const place = thread.native.holdWeakly(greenlet)
  record.weakPlace = place
  if (place !== -1) held[place] = record
}

function releaseNative(record: GreenletRecord): void {
  const place = record.weakPlace
  record.weakPlace = -1
  held[place] = undefined
  heldByNative.delete(record)
  thread.native.release(place)
}

/** Calls `thread.onUnreachable` for what full collections have freed, also in this job. */
export function reportCollected(): void {
  if (now.collections === mail[FULL_COLLECTIONS]) return
  now.collections = mail[FULL_COLLECTIONS]!
  for (let place = thread.native.collected(); place !== -1; place = thread.native.collected()) {
    const record = held[place]
    if (record === undefined) continue
    releaseNative(record)
    thread.onUnreachable?.(record)
  }
}

/** Sorts the recent greenlets that have started, during a job. What it makes lets them be collected in the same job. */
export function sortStarted(): void {
  let kept = 0
  for (let i = 0; i < recent.length; i++) {
    const record = recent[i]!
    const { greenlet } = record
    // A greenlet that is about to start is made known to native later.
    if (record.state === UNSTARTED || greenlet === undefined) {
      recent[kept] = record
      record.registryPlace = kept++
      continue
    }
    holdByNative(record, greenlet)
    if (record.weakPlace === -1) {
      // There is no memory. It is sorted later.
      recent[kept] = record
      record.registryPlace = kept++
      continue
    }
    record.greenlet = undefined
    record.registryPlace = undefined
    started.add(record)
    heldByNative.add(record)
  }
  recent.length = kept
  now.many = Math.max(MANY, 2 * kept)
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
  now.many = MANY
  heldByNative.forEach((record) => {
    heldByNative.delete(record)
    const greenlet = objectOf(record)
    if (greenlet !== undefined) holdByWeakRef(record, greenlet)
    else {
      releaseNative(record)
      thread.onUnreachable?.(record)
    }
  })
}
