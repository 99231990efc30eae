/**
 * Makes several copies of this package in one thread share its greenlets, or refuses all but one. A thread has one
 * connection to native, so it has one engine: one current greenlet, one registry, one class `Greenlet`. There are several
 * copies where a tree has two versions, where a test runner gives each test file a realm of its own, and after
 * `resetModules()` of such a runner.
 *
 *     copies of one protocol   all of them export the API of the first one: the same classes, the same greenlets
 *     other protocols          the first copy that makes a greenlet has the thread; the others refuse everything
 *
 * The copies find each other by a list on the global object of the realm that Node made for the thread. Native gives
 * that object to every realm (see `nodeRealm` in addon.ts).
 *
 * The members of {@link Copy} may never change their meaning, because copies of all versions read them.
 */

import { GreenletError } from '../common/errors.ts'
import { addon } from './addon.ts'
import { FLAGS, mail, REFUSED } from './contract.ts'

/**
 * Copies with the same number can use each other's API. Raise it with each change of the API's behaviour that a program
 * written for this version relies on. A new export or a new member of `Greenlet` does not need it: its name is looked
 * up.
 */
const PROTOCOL = 1

/** The key of the list on the global object. */
const COPIES: unique symbol = Symbol.for('greenlets.copies') as never

/** The part of a copy that other copies can see. */
interface Copy {
  readonly protocol: number
  readonly version: string
  /** Where it was loaded from: a path or a URL. */
  readonly location: string
  readonly api: object
  /** Whether it is connected to native. */
  readonly attached: boolean
  /** Tells it that another copy is connected. */
  refuse(by: Copy): void
}

/** The exports of a copy, as far as this file uses them. */
interface Api {
  readonly Greenlet: abstract new (...args: never[]) => object
}

/** This copy; undefined where the package was not loaded by its entry. */
let own: { -readonly [Key in keyof Copy]: Copy[Key] } | undefined
/** The copy that has the thread, where it is not this one and cannot be shared. */
let owner: Copy | undefined

/**
 * Looks for a copy of which the API can be used. Returns that API, or `api` where there is none. Never throws and
 * learns nothing about V8.
 */
export function joinThread<T extends Api>(api: T, version: string, location: string): T {
  own = { protocol: PROTOCOL, version, location, api, attached: false, refuse }
  try {
    const copies = listOfCopies()
    const attached = copies.find((copy) => copy.attached)
    const shared = (attached === undefined ? copies : [attached]).find((copy) => isShareable(copy, api))
    if (shared !== undefined) return shared.api as T
    // A copy without an addon can use that of another one, but has nothing to share.
    if (addon.loadError === undefined) copies.push(own)
    if (attached !== undefined) refuse(attached)
  } catch {
    // The global object is frozen, or its property is not ours. This copy does not find others then.
  }
  return api
}

/** Tells the other copies that this one is connected. */
export function claimThread(): void {
  if (own === undefined || own.attached) return
  own.attached = true
  try {
    for (const copy of listOfCopies()) if (copy !== own) copy.refuse(own)
  } catch {
    // The global object is frozen, or its property is not ours. There are no other copies to tell then.
  }
}

/** The reason why this copy cannot be used; undefined where it can. */
export function refusal(): string | undefined {
  return owner === undefined ? undefined : describeCopies(owner)
}

/**
 * Must be called by everything that is exported. Where the copy is refused, `mail[FLAGS]` has `REFUSED`.
 *
 * @throws GreenletError `ERR_GREENLET_SECOND_COPY`
 */
export function refuseSecondCopy(): void {
  if (owner !== undefined) throw secondCopyError()
}

/** @param cause why native did not connect this copy */
export function secondCopyError(cause?: unknown): GreenletError {
  return new GreenletError(
    'ERR_GREENLET_SECOND_COPY',
    describeCopies(owner),
    cause === undefined ? undefined : { cause },
  )
}

function describeCopies(other: Copy | undefined): string {
  const first = other === undefined ? 'a copy that it cannot see' : `version ${other.version} from ${other.location}`
  const second = own === undefined ? 'this one' : `version ${own.version} from ${own.location}`
  return (
    `two copies of greenlets cannot run in one thread: ${first} was first, ${second} is second; make the ` +
    'dependencies agree on one version (npm dedupe, or overrides in package.json)'
  )
}

function refuse(by: Copy): void {
  owner = by
  mail[FLAGS]! |= REFUSED
  // `Greenlet.main` does not look at the flags, because programs read it for every switch.
  if (own !== undefined) Object.defineProperty((own.api as Api).Greenlet, 'main', { get: refuseSecondCopy })
}

function listOfCopies(): Copy[] {
  const global = (addon.nodeRealm?.() ?? globalThis) as { [COPIES]?: Copy[] }
  if (global[COPIES] === undefined) Object.defineProperty(global, COPIES, { value: [] })
  return global[COPIES]!
}

/** Whether the copy has all that this one exports. */
function isShareable({ protocol, api }: Copy, wanted: Api): boolean {
  if (protocol !== PROTOCOL) return false
  const { Greenlet } = api as Api
  return (
    hasAll(api, wanted) && hasAll(Greenlet, wanted.Greenlet) && hasAll(Greenlet.prototype, wanted.Greenlet.prototype)
  )
}

/** Node 20 has `Symbol.dispose` only in its own realm. In another realm, a method with that key is named 'undefined'. */
function hasAll(found: object, wanted: object): boolean {
  return Object.getOwnPropertyNames(wanted).every((name) => name === 'undefined' || Object.hasOwn(found, name))
}
