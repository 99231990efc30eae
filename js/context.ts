/**
 * The async context a greenlet runs in: the stores of AsyncLocalStorage, and what async hooks see. It is an `AsyncResource`,
 * Node.js' own notion of one; every greenlet is made with one of its own, which inherits from where it is made.
 *
 * Up to Node.js 22 the stores are properties of the resource. Later they are in a frame, which the resource only remembers:
 * native keeps the greenlet's live one, and a resource that somebody else got to see is taught to look there.
 */

import { AsyncResource } from 'node:async_hooks'
import { UnsupportedRuntimeError } from './errors.ts'
import type { Inner } from './inner.ts'
import { address, asyncIds, mail, type Native, SELF_GENERATION, SELF_INDEX } from './native.ts'

const TYPE = 'GREENLET'
/** Made once in each thread. */
const PROBE = 'GREENLET_PROBE'

type Framed = AsyncResource & { readonly [key: symbol]: unknown }

let native: Native
/** Where an AsyncResource remembers a frame; undefined where there are none. */
let frameKey: symbol | undefined

/** What a greenlet is made with. */
class GreenletResource extends AsyncResource {
  readonly #owner: Inner

  constructor(owner: Inner) {
    super(TYPE)
    this.#owner = owner
  }

  /** Whose own it is, whoever else has been given it. */
  static ownerOf(context: AsyncResource): Inner | undefined {
    return #owner in context ? context.#owner : undefined
  }
}

/** A resource that somebody else knows, and the greenlets that have a stack and run in it. They share one frame. */
export class SharedContext {
  readonly users: Inner[] = []
  #frame: unknown

  constructor(resource: AsyncResource) {
    this.#frame = (resource as Framed)[frameKey!]
    // Of a resource that cannot be extended, greenlets only take the frame it has.
    Reflect.defineProperty(resource, frameKey!, { configurable: true, get: () => this.frame })
  }

  get frame(): unknown {
    const user = this.users[0]
    return user === undefined ? this.#frame : frameOf(user)
  }

  /** The frame is the one of those who are there already. */
  enter(user: Inner): void {
    this.users.push(user)
  }

  /** The last one leaves its frame here. */
  leave(user: Inner): void {
    const { frame } = this
    const place = this.users.indexOf(user)
    if (place === -1) return
    this.#frame = frame
    this.users.splice(place, 1)
  }
}

const sharedContexts = new WeakMap<AsyncResource, SharedContext>()

/** Finds out where frames are remembered: under the one key whose value is the frame in which the resource was made. */
export function connectContexts(attached: Native): void {
  native = attached
  const frame = new Map()
  const resource = native.underFrame(frame, () => new AsyncResource(PROBE)) as Framed
  frameKey = Object.getOwnPropertySymbols(resource).find((key) => resource[key] === frame)
  if (frameKey !== undefined) return

  const inside = resource.runInAsyncScope(() => {
    address(mail[SELF_INDEX]!, mail[SELF_GENERATION]!)
    return native.frame()
  })
  if (inside === frame) {
    throw new UnsupportedRuntimeError(
      'the AsyncResource of this Node.js does not show where it keeps the async context',
    )
  }
}

/** Gives a new greenlet its context, from the code that makes it. */
export function inheritContext(inner: Inner): void {
  inner.context = new GreenletResource(inner)
}

/** The resource to start or go on with; its ids go into the mail. No context is a bare object, as Node.js' own on top. */
export function resourceFor({ context }: Inner): object {
  asyncIds[0] = context === null ? 0 : context.asyncId()
  asyncIds[1] = context === null ? 0 : context.triggerAsyncId()
  return context ?? {}
}

/** The frame to start or go on with. */
export function frameFor({ context }: Inner): unknown {
  return context === null || frameKey === undefined ? undefined : (context as Framed)[frameKey]
}

/** What `gr_context` gives: from now on the resource shows the stores as they are. */
export function showContext(inner: Inner): AsyncResource | null {
  if (inner.shared === undefined) share(inner)
  return inner.context
}

/** Before the start, and after the end, it is only noted. */
export function changeContext(inner: Inner, context: AsyncResource | null): void {
  if (inner.context === context) return
  inner.shared?.leave(inner)
  inner.shared = undefined
  inner.context = context
  const frame = frameFor(inner)
  const fellow = share(inner)
  if (inner.index !== -1) install(inner, frame, fellow)
}

/** On its new stack, before it runs: from here on it shares its context with those who have it already. */
export function joinContext(inner: Inner): void {
  const fellow = share(inner)
  if (fellow !== undefined) install(inner, undefined, fellow)
}

/** A greenlet has come to its end. */
export function endContext(inner: Inner): void {
  inner.shared?.leave(inner)
  inner.shared = undefined
  const { context } = inner
  if (context !== null && GreenletResource.ownerOf(context) === inner) context.emitDestroy()
}

/** Notes that others know the resource. Returns one of the greenlets with a stack that run in it, if `inner` joins them. */
function share(inner: Inner): Inner | undefined {
  const { context } = inner
  if (context === null || frameKey === undefined) return undefined
  let shared = sharedContexts.get(context)
  if (shared === undefined) {
    shared = new SharedContext(context)
    sharedContexts.set(context, shared)
    // It may have come from `executionAsyncResource()`.
    const owner = GreenletResource.ownerOf(context)
    if (owner !== undefined && owner !== inner && owner.context === context) share(owner)
  }
  inner.shared = shared
  if (inner.index === -1 || shared.users.includes(inner)) return undefined
  const fellow = shared.users[0]
  shared.enter(inner)
  return fellow
}

function install(inner: Inner, frame: unknown, fellow: Inner | undefined): void {
  const resource = resourceFor(inner)
  address(inner.index, inner.generation)
  native.setContext(resource, frame, fellow?.index, fellow?.generation)
}

function frameOf(inner: Inner): unknown {
  address(inner.index, inner.generation)
  return native.frame()
}
