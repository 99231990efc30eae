/**
 * A snapshot of a suspended greenlet's stack: the capture that native made, and the epoch at that time. The snapshot is
 * valid while the epoch is the same. Frames are made from the capture when they are first read.
 */

import { StaleFrameError } from '../common/errors.ts'
import { NativePromise } from '../common/values.ts'
import { quoted } from '../common/text.ts'
import { finishEnded } from '../core/lifecycle.ts'
import { type GreenletRecord, LIVE, WAITING } from '../core/record.ts'
import { thread } from '../core/thread.ts'
import { type Native, setSubject } from '../native/contract.ts'
import { DetachedFrame, Frame, isBuiltIn, isWasm } from './frame.ts'
import { findOwnCode, isOwnFrame } from './own-frames.ts'
import { type CallSite, makeRealm, sitesOf } from './realm.ts'
import { type FrameStack, makeStack, type StackSource, textOf } from './stack.ts'

/**
 * The snapshots of this job, so that `gr_frame === gr_frame`. They keep alive what the frames refer to, so not for
 * longer.
 */
const recent = new Map<GreenletRecord, Snapshot>()

/** A snapshot of a greenlet's stack as it is now; undefined where it is not suspended. */
export function snapshotOf(record: GreenletRecord): Snapshot | undefined {
  finishEnded()
  if (record === thread.current || (record.state !== LIVE && record.state !== WAITING)) return undefined
  const known = recent.get(record)
  if (known?.valid) return known

  const { native } = thread
  ensureCaptureRealm()
  setSubject(record.index, record.generation)
  const error = native.capture()
  if (error === undefined) return undefined
  const snapshot = new Snapshot(native, record, error)
  if (recent.size === 0) void NativePromise.resolve().then(() => recent.clear())
  recent.set(record, snapshot)
  return snapshot
}

/**
 * Before captures are read: gives native the realm in which it makes them, and finds the package's own code with it.
 *
 * @throws RangeError where the running stack is nearly full; the next call goes on
 */
export function ensureCaptureRealm(): void {
  if (thread.captureRealmIsSet) return
  const { native } = thread
  const makeError = makeRealm()
  native.setCaptureRealm(makeError)
  findOwnCode(native, makeError)
  thread.capture = makeError
  thread.captureRealmIsSet = true
}

export class Snapshot implements StackSource {
  readonly #native: Native
  readonly #epoch: number
  // The id and not the record: a frame that a program keeps must not keep the greenlet alive.
  readonly #index: number
  readonly #generation: number
  readonly name: string

  /** What native captured, until the frames are made from it. */
  #capture: Error | undefined
  /** All that V8 captured, with the package's own frames. */
  #sites: readonly CallSite[] = []
  /** Where the program's frames begin among them, and how many there are. */
  #first = 0
  #count = 0
  /** The frames that were made, each when it is first read: its own properties take longer than the rest of it. */
  readonly #frames: Frame[] = []
  #allAreMade = false
  #call: string | null = null
  #scriptIds: ReadonlyMap<CallSite, number> | undefined
  #detached: readonly DetachedFrame[] | undefined
  #stack: FrameStack | undefined

  constructor(native: Native, record: GreenletRecord, error: Error) {
    this.#native = native
    this.#index = record.index
    this.#generation = record.generation
    this.name = record.name
    this.#capture = error
    this.#epoch = this.#epochNow()
  }

  get valid(): boolean {
    return this.#epochNow() === this.#epoch
  }

  get staleness(): string | undefined {
    const now = this.#epochNow()
    if (now === this.#epoch) return undefined
    const name = `greenlet ${quoted(this.name)}`
    return now === -1
      ? `${name} has ended; this snapshot is of epoch ${this.#epoch}; use detach() to keep one`
      : `${name} was resumed; this snapshot is of epoch ${this.#epoch}, it is now at ${now}; use detach() to keep one`
  }

  check(): void {
    const { staleness } = this
    if (staleness !== undefined) throw new StaleFrameError(staleness)
  }

  get epoch(): number {
    this.check()
    return this.#epoch
  }

  get frames(): readonly Frame[] {
    const { count } = this
    if (!this.#allAreMade) {
      for (let level = 0; level < count; level++) this.#frameAt(level)
      this.#allAreMade = true
    }
    return this.#frames
  }

  /** How many frames there are. */
  get count(): number {
    this.check()
    if (this.#capture !== undefined) {
      this.#readSites(this.#capture)
      this.#capture = undefined
    }
    return this.#count
  }

  frameAt(level: number): Frame | undefined {
    return level < this.count ? this.#frameAt(level) : undefined
  }

  #frameAt(level: number): Frame {
    return (this.#frames[level] ??= new Frame(this, level, this.#sites[this.#first + level]!))
  }

  /** The function of the package that the innermost frame has called; null where its name is not known. */
  get call(): string | null {
    void this.count
    return this.#call
  }

  get stack(): FrameStack {
    return (this.#stack ??= makeStack(this))
  }

  detach(): readonly DetachedFrame[] {
    this.check()
    if (this.#detached === undefined) {
      const copies: DetachedFrame[] = []
      for (const [level, frame] of this.frames.entries()) copies.push(new DetachedFrame(frame, copies, level))
      Object.defineProperty(copies, 'toString', { value: () => textOf(copies) })
      this.#detached = Object.freeze(copies)
    }
    return this.#detached
  }

  #epochNow(): number {
    setSubject(this.#index, this.#generation)
    return this.#native.epoch()
  }

  callAbove(fn: () => void, objects: object): number {
    this.check()
    return this.#native.callAbove(fn, objects)
  }

  scriptIdOf(site: CallSite): number | null {
    this.check()
    this.#scriptIds ??= this.#readScriptIds()
    return this.#scriptIds.get(site) ?? null
  }

  #readSites(error: Error): void {
    const sites = sitesOf(this.#native, error)
    if (sites === undefined) {
      // V8 keeps what it has made, so this capture is of no use any more. The next read makes a new one.
      recent.forEach((snapshot, record) => snapshot === this && recent.delete(record))
      throw new RangeError(
        `the stack of greenlet ${quoted(this.name)} cannot be read here, because the running stack is nearly full; read it further out`,
      )
    }
    // Where a promise job runs, V8 adds the async callers at the outer end. They are not on the stack.
    while (sites.at(-1)?.isAsync()) sites.pop()

    let [innermost, end] = [0, sites.length]
    while (innermost < end && isOwnFrame(sites[end - 1]!)) end--
    while (innermost < end && isOwnFrame(sites[innermost]!)) innermost++
    this.#sites = sites
    this.#call = sites[innermost - 1]?.getFunctionName() ?? null
    this.#first = innermost
    this.#count = end - innermost
  }

  /** Reads the ids now. That is correct because the stack has not changed while the snapshot is valid. */
  #readScriptIds(): ReadonlyMap<CallSite, number> {
    setSubject(this.#index, this.#generation)
    const ids = this.#native.scriptIds()
    const scripted = this.#sites.filter((site) => !isBuiltIn(site) && !isWasm(site))
    const idOf = new Map<CallSite, number>()
    // The ids come from another stack walk of V8. If it saw other frames than the capture, no id is better than a wrong
    // one.
    if (scripted.length === ids?.length) for (const [i, site] of scripted.entries()) idOf.set(site, ids[i]!)
    return idOf
  }
}
