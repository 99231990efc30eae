/**
 * A snapshot of a suspended greenlet's stack: what native captured, and the epoch that tells whether it is still true. The
 * capture is kept as it is until somebody reads from it.
 */

import { StaleFrameError } from '../errors.ts'
import { type Inner, LIVE, WAITING } from '../inner.ts'
import { address, type Native } from '../native.ts'
import { here } from '../life.ts'
import { connection } from '../transfer.ts'
import { DetachedFrame, Frame, isBuiltIn, isWasm } from './frame.ts'
import { isInternal } from './internal.ts'
import { type CallSite, makeRealm } from './realm.ts'
import { type FrameStack, lines, makeStack, type StackOwner } from './stack.ts'

/** The snapshots of this job, so that `gr_frame === gr_frame`. They pin what the frames refer to: not for longer. */
const recent = new Map<Inner, Snapshot>()
let realmIsMade = false

/** A snapshot of a greenlet's stack as it is now; undefined where it is not suspended. */
export function snapshotOf(inner: Inner): Snapshot | undefined {
  if (inner === here() || (inner.life !== LIVE && inner.life !== WAITING)) return undefined
  const known = recent.get(inner)
  if (known?.valid) return known

  const native = connection()
  if (!realmIsMade) {
    native.setCaptureRealm(makeRealm())
    realmIsMade = true
  }
  address(inner.index, inner.generation)
  const error = native.capture()
  if (error === undefined) return undefined
  const snapshot = new Snapshot(native, inner, error)
  if (recent.size === 0) void Promise.resolve().then(() => recent.clear())
  recent.set(inner, snapshot)
  return snapshot
}

class Snapshot implements StackOwner {
  readonly #native: Native
  readonly #epoch: number
  // Not the greenlet itself: a frame that somebody keeps shall not keep it alive.
  readonly #index: number
  readonly #generation: number
  readonly #name: string

  /** What native gave, until the frames are made of it. */
  #capture: Error | undefined
  /** All that V8 captured, with our own frames. */
  #sites: readonly CallSite[] = []
  #frames: readonly Frame[] = []
  #scriptIds: ReadonlyMap<CallSite, number> | undefined
  #detached: readonly DetachedFrame[] | undefined
  #stack: FrameStack | undefined

  constructor(native: Native, inner: Inner, error: Error) {
    this.#native = native
    this.#index = inner.index
    this.#generation = inner.generation
    this.#name = inner.name
    this.#capture = error
    this.#epoch = this.#now()
  }

  get valid(): boolean {
    return this.#now() === this.#epoch
  }

  get staleness(): string | undefined {
    const now = this.#now()
    if (now === this.#epoch) return undefined
    const name = `greenlet '${this.#name}'`
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
    this.check()
    if (this.#capture !== undefined) {
      this.#makeFrames(this.#capture)
      this.#capture = undefined
    }
    return this.#frames
  }

  get stack(): FrameStack {
    return (this.#stack ??= makeStack(this))
  }

  detach(): readonly DetachedFrame[] {
    this.check()
    if (this.#detached === undefined) {
      const copies: DetachedFrame[] = []
      for (const [level, frame] of this.frames.entries()) copies.push(new DetachedFrame(frame, copies, level))
      const text = lines(copies)
      Object.defineProperty(copies, 'toString', { value: () => text })
      this.#detached = Object.freeze(copies)
    }
    return this.#detached
  }

  #now(): number {
    address(this.#index, this.#generation)
    return this.#native.epoch()
  }

  scriptIdOf(site: CallSite): number | null {
    this.check()
    this.#scriptIds ??= this.#readScriptIds()
    return this.#scriptIds.get(site) ?? null
  }

  #makeFrames(error: Error): void {
    // The private realm's `prepareStackTrace` hands the sites through; see realm.ts.
    const sites = [...(error.stack as unknown as CallSite[])]
    // The innermost of them are the stack; where a promise job runs, its async callers may follow, which are not parked.
    while (sites.at(-1)?.isAsync()) sites.pop()

    let [inner, outer] = [0, sites.length]
    while (inner < outer && isInternal(sites[outer - 1]!)) outer--
    while (inner < outer && isInternal(sites[inner]!)) inner++
    this.#sites = sites
    this.#frames = sites.slice(inner, outer).map((site, level) => new Frame(this, level, site))
  }

  /** Asks for them now: as long as the snapshot is valid, the stack is what it was. */
  #readScriptIds(): ReadonlyMap<CallSite, number> {
    address(this.#index, this.#generation)
    const ids = this.#native.scriptIds()
    const scripted = this.#sites.filter((site) => !isBuiltIn(site) && !isWasm(site))
    const idOf = new Map<CallSite, number>()
    // They come from another of V8's stack walks: should it see other frames than this one, no id is better than a wrong one.
    if (scripted.length === ids?.length) for (const [i, site] of scripted.entries()) idOf.set(site, ids[i]!)
    return idOf
  }
}
