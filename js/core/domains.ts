/**
 * Gives each stack its own entered domains (`node:domain`). Node keeps one stack of them for the thread, `domain._stack`,
 * and the topmost one in `process.domain` and `domain.active`.
 *
 * When a stack is left, its domains are saved and removed; when it runs again, they are put back. A new greenlet is in
 * the domain in which it was made, because the async hooks of `node:domain` enter that domain together with the
 * greenlet's async context.
 *
 * A switch pays for this only after a domain was entered: then the transfer flag `DOMAINS` is set; see switch.ts.
 */

import EventEmitter from 'node:events'
import type { GreenletRecord } from './record.ts'
import { DOMAINS, thread } from './thread.ts'

/** A Domain, as far as this file needs it. */
interface Domain {
  enter(): void
  exit(): void
}

/** What is used of `node:domain`; see lib/domain.js of Node 20 to 26. */
interface DomainModule {
  readonly Domain: { readonly prototype: Domain }
  /** The topmost domain. */
  active: unknown
  /** The entered domains. `emit` replaces the array. */
  readonly _stack: Domain[]
}

/** The domains of a suspended stack. */
interface Entered {
  readonly stack: readonly Domain[]
  /** Not always the topmost one: the program may set `process.domain`. */
  readonly current: unknown
  readonly active: unknown
}

const parked = new WeakMap<GreenletRecord, Entered>()

/** Follows the domains from now on, also where `node:domain` is loaded later. */
export function followDomains(): void {
  const events = EventEmitter as unknown as { usingDomains?: boolean }
  if (events.usingDomains === true) {
    follow()
    return
  }
  // Nothing in Node reads the property. `node:domain` sets it when its class is complete.
  Object.defineProperty(events, 'usingDomains', {
    configurable: true,
    enumerable: true,
    get: () => false,
    set(value: unknown) {
      Object.defineProperty(events, 'usingDomains', { configurable: true, enumerable: true, writable: true, value })
      if (value === true) follow()
    },
  })
}

/** Removes the domains of the running stack, which is about to be left, and saves them for `record`, if there is one. */
export function leaveDomains(record: GreenletRecord | undefined): void {
  const { domains } = thread as { domains: DomainModule | undefined }
  if (domains === undefined) return
  const { _stack: stack } = domains
  const { domain: current } = process as { domain?: unknown }
  if (record !== undefined) parked.set(record, { stack: [...stack], current, active: domains.active })
  exitAll(domains)
  setCurrent(domains, null, null)
}

/** Puts the domains of `record` back, of which the stack runs again. */
export function enterDomains(record: GreenletRecord): void {
  const { domains } = thread as { domains: DomainModule | undefined }
  if (domains === undefined) return
  // Removes the domains that async hooks have entered since.
  exitAll(domains)
  const entered = parked.get(record)
  parked.delete(record)
  if (entered === undefined) {
    setCurrent(domains, null, null)
    return
  }
  for (const domain of entered.stack) domain.enter()
  setCurrent(domains, entered.current, entered.active)
}

/** Leaves all domains of the running stack, as Node does after an uncaught exception. */
export function exitDomains(): void {
  if (thread.transferFlags & DOMAINS) leaveDomains(undefined)
}

/** Exits all domains, which also updates Node's function for uncaught exceptions. */
function exitAll({ _stack: stack }: DomainModule): void {
  // `exit()` leaves a domain where it was entered last, and all that were entered later.
  stack.splice(1)
  stack[0]?.exit()
}

function setCurrent(domains: DomainModule, current: unknown, active: unknown): void {
  domains.active = active
  ;(process as { domain?: unknown }).domain = current
}

function follow(): void {
  // `node:domain` is loaded, or is being loaded and has its class.
  const domains = process.getBuiltinModule('node:domain') as unknown as DomainModule
  thread.domains = domains
  if (domains._stack.length > 0) thread.transferFlags |= DOMAINS
  const { prototype } = domains.Domain
  const { enter } = prototype
  prototype.enter = function (this: Domain) {
    thread.transferFlags |= DOMAINS
    Reflect.apply(enter, this, [])
  }
}
