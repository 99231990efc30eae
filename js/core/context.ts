/**
 * The async context in which a greenlet runs: the stores of AsyncLocalStorage, and what async hooks see. A context is
 * an `AsyncResource` of Node.js. Every greenlet is made with a resource of its own, which inherits from where the
 * greenlet is made.
 *
 * Up to Node.js 22 the stores are properties of the resource. Later they are in a frame, and the resource only
 * remembers the frame it was made in. Native keeps the frame in which a greenlet runs now. A resource that other code
 * has seen gets an accessor in place of the remembered frame, which reads the greenlet's frame as it is now.
 */

import { AsyncResource, type AsyncResourceOptions } from 'node:async_hooks'
import { UnsupportedRuntimeError } from '../common/errors.ts'
import { asyncIds, mail, SELF_GENERATION, SELF_INDEX, setSubject } from '../native/contract.ts'
import type { ContextSharing, GreenletRecord } from './record.ts'
import { thread } from './thread.ts'

const TYPE = 'GREENLET'
/** The type of the resource in which callbacks of promises are added; see `withoutStores`. */
const BARE = 'GREENLET_WAIT'
/** The type of a resource that is made once in each thread, to find the key of its frame. */
const PROBE = 'GREENLET_PROBE'

/**
 * The property of a resource that holds the store of an AsyncLocalStorage, where Node.js has no frames: the first name is
 * that of Node.js 20 (lib/async_hooks.js), the second that of newer ones (lib/internal/async_local_storage/async_hooks.js).
 * Proof: `waiting.spec`, "a killed waiter".
 */
const STORE = /^k(?:ResourceStore|AsyncLocalStorageContext)$/

/** Node's own default options are an object of which the properties are slow to read. */
const DEFAULTS: AsyncResourceOptions = { triggerAsyncId: undefined, requireManualDestroy: false }

type Framed = AsyncResource & { readonly [key: symbol]: unknown }

/** The resource that a greenlet is made with. */
class GreenletResource extends AsyncResource {
  readonly #owner: GreenletRecord

  constructor(owner: GreenletRecord) {
    super(TYPE, DEFAULTS)
    this.#owner = owner
  }

  /** The greenlet that was made with this resource. Others may have been given it too. */
  static ownerOf(context: AsyncResource): GreenletRecord | undefined {
    return #owner in context ? context.#owner : undefined
  }
}

/** A resource that other code knows, and the greenlets that have a stack and run in it. They share one frame. */
class SharedContext implements ContextSharing {
  readonly sharers: GreenletRecord[] = []
  #frame: unknown

  constructor(resource: AsyncResource) {
    this.#frame = (resource as Framed)[thread.frameKey!]
    // If the resource cannot be extended, greenlets use the frame it has.
    Reflect.defineProperty(resource, thread.frameKey!, { configurable: true, get: () => this.frame })
  }

  get frame(): unknown {
    const sharer = this.sharers[0]
    return sharer === undefined ? this.#frame : frameOf(sharer)
  }

  /** Adds a greenlet. It gets the frame of the sharers that are there already. */
  enter(record: GreenletRecord): void {
    this.sharers.push(record)
  }

  /** Removes a greenlet. The frame is kept here when the last one leaves. */
  leave(record: GreenletRecord): void {
    const { frame } = this
    const place = this.sharers.indexOf(record)
    if (place === -1) return
    this.#frame = frame
    this.sharers.splice(place, 1)
  }
}

const sharedContexts = new WeakMap<AsyncResource, SharedContext>()

/**
 * Finds the key under which a resource remembers its frame: the one key of which the value is the frame in which the
 * resource was made.
 *
 * @throws UnsupportedRuntimeError where there are frames and the key is not found
 */
export function findFrameKey(): void {
  const frame = new Map()
  const resource = thread.native.underFrame(frame, () => new AsyncResource(PROBE)) as Framed
  thread.frameKey = Object.getOwnPropertySymbols(resource).find((key) => resource[key] === frame)
  if (thread.frameKey !== undefined) {
    findFrameWord()
    return
  }

  const inside = resource.runInAsyncScope(() => {
    setSubject(mail[SELF_INDEX]!, mail[SELF_GENERATION]!)
    return thread.native.frame()
  })
  if (inside === frame) {
    throw new UnsupportedRuntimeError(
      'the AsyncResource of this Node.js does not show where it keeps the async context',
    )
  }
}

/** Learns how the word of the running stack's frame looks where there is no frame. */
function findFrameWord(): void {
  const word = thread.native.frameWord()
  if (word === undefined) return
  const halves = new Int32Array(word)
  thread.native.underFrame(undefined, () => {
    thread.noFrameLow = halves[0]!
    thread.noFrameHigh = halves[1]!
  })
  thread.frameWord = halves
}

/** Whether the running stack certainly has no frame. `undefined` is a read-only object of V8's, which never moves. */
function hasNoFrame(): boolean {
  const { frameWord } = thread
  return frameWord !== undefined && frameWord[0] === thread.noFrameLow && frameWord[1] === thread.noFrameHigh
}

/**
 * Calls `add(promise, wait)`, which adds callbacks to a promise. If the greenlet is killed meanwhile, a pending promise must not keep
 * the stores of AsyncLocalStorage that it had. The callbacks only resume the greenlet, which has its own context.
 *
 * Returns what has to go to `dropStores` if the wait is interrupted, or undefined.
 */
export function withoutStores<T>(
  add: (promise: Promise<unknown>, wait: T) => Promise<void>,
  promise: Promise<unknown>,
  wait: T,
): Promise<void> | undefined {
  // Node.js copies the stores to the promise that `then` makes, as properties. To look for them takes longer than the rest of `add`.
  if (thread.frameKey === undefined) return add(promise, wait)
  // The promise keeps the frame in which the callbacks are added. Most greenlets have none, and asking is cheaper than a scope.
  if (hasNoFrame()) {
    void add(promise, wait)
    return undefined
  }
  thread.bareResource ??= bareResource(thread.frameKey)
  thread.bareResource.runInAsyncScope(add, undefined, promise, wait)
  return undefined
}

/** Takes the stores away from a promise that an async hook of Node.js has copied them to. */
export function dropStores(promise: unknown): void {
  const resource = promise as Record<symbol, unknown>
  const keys = Object.getOwnPropertySymbols(resource)
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!
    if (STORE.test(key.description ?? '')) resource[key] = undefined
  }
}

function bareResource(frameKey: symbol): AsyncResource {
  const resource = new AsyncResource(BARE)
  Object.defineProperty(resource, frameKey, { value: undefined })
  return resource
}

/** Gives a new greenlet a context that inherits from the code that runs now. */
export function inheritContext(record: GreenletRecord): void {
  record.context = new GreenletResource(record)
}

/**
 * The resource with which a stack starts or goes on. Puts its ids into the mail. Without a context it is a bare object,
 * as Node.js uses at the top level.
 */
export function resourceFor({ context }: GreenletRecord): object {
  asyncIds[0] = context === null ? 0 : context.asyncId()
  asyncIds[1] = context === null ? 0 : context.triggerAsyncId()
  return context ?? {}
}

/** The frame with which a stack starts or goes on. */
export function frameFor({ context }: GreenletRecord): unknown {
  return context === null || thread.frameKey === undefined ? undefined : (context as Framed)[thread.frameKey]
}

/** The value of `gr_context`. From now on the resource shows the stores as they are. */
export function showContext(record: GreenletRecord): AsyncResource | null {
  if (record.sharedContext === undefined) share(record)
  return record.context
}

/** Gives a greenlet another context. Before the start and after the end it is only noted in the record. */
export function changeContext(record: GreenletRecord, context: AsyncResource | null): void {
  if (record.context === context) return
  record.sharedContext?.leave(record)
  record.sharedContext = undefined
  record.context = context
  const frame = frameFor(record)
  const sharer = share(record)
  if (record.index !== -1) install(record, frame, sharer)
}

/**
 * For a new stack, before `run` is called: from now on the greenlet shares its frame with those that have the same
 * context.
 */
export function joinContext(record: GreenletRecord): void {
  const sharer = share(record)
  if (sharer !== undefined) install(record, undefined, sharer)
}

/** For a greenlet that has ended. */
export function endContext(record: GreenletRecord): void {
  record.sharedContext?.leave(record)
  record.sharedContext = undefined
  const { context } = record
  if (context !== null && GreenletResource.ownerOf(context) === record) context.emitDestroy()
}

/** Notes that other code knows the resource. If `record` joins other sharers that have a stack, returns one of them. */
function share(record: GreenletRecord): GreenletRecord | undefined {
  const { context } = record
  if (context === null || thread.frameKey === undefined) return undefined
  let shared = sharedContexts.get(context)
  if (shared === undefined) {
    shared = new SharedContext(context)
    sharedContexts.set(context, shared)
    // The resource may have come from `executionAsyncResource()`, and then its owner does not share it yet.
    const owner = GreenletResource.ownerOf(context)
    if (owner !== undefined && owner !== record && owner.context === context) share(owner)
  }
  record.sharedContext = shared
  if (record.index === -1 || shared.sharers.includes(record)) return undefined
  const sharer = shared.sharers[0]
  shared.enter(record)
  return sharer
}

function install(record: GreenletRecord, frame: unknown, sharer: GreenletRecord | undefined): void {
  const resource = resourceFor(record)
  setSubject(record.index, record.generation)
  thread.native.setContext(resource, frame, sharer?.index, sharer?.generation)
}

function frameOf(record: GreenletRecord): unknown {
  setSubject(record.index, record.generation)
  return thread.native.frame()
}
