/**
 * The requests of one server, or of the part of it that one call of `greenlets()` takes care of: how many there are, and
 * how they end when the server closes.
 */

import { quoted } from '../../common/text.ts'
import { Greenlet, GreenletError } from '../../engine.ts'
import { closedError, limitError, type UnavailableError } from './errors.ts'
import { type Checked, checkClose, checkOptions, type CloseOptions } from './options.ts'

/**
 * What `greenlets()` gives, beside its own type.
 *
 * @example
 * ```js
 * const middleware = greenlets({ limit: 100 })
 * middleware.living.size // 0
 * await middleware.close()
 * ```
 */
export interface ServerControl {
  /**
   * The live greenlets of the requests that are being handled: a new set each time.
   *
   * @example
   * ```js
   * const middleware = greenlets()
   * for (const g of middleware.living) console.log(`${g.name}\n${g.gr_stack}`)
   * ```
   */
  readonly living: Set<Greenlet>
  /**
   * Ends the work: refuses new requests, with an error `ERR_GREENLET_CLOSED` that has the status 503 and the header
   * `Retry-After`, and waits for those that are being handled. After `grace` milliseconds it kills their greenlets: their
   * `finally` blocks run, and clients that still wait get a 503. The promise is fulfilled when all requests have ended.
   * It may be called again, also with less grace. It does not close the server's socket: call `server.close()` too.
   *
   * @example
   * ```js
   * const middleware = greenlets()
   * await middleware.close({ grace: 1000 })
   * ```
   *
   * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
   * @throws GreenletError `ERR_GREENLET_KILL_REFUSED` (the promise is rejected) if greenlets live although they were
   *   killed, and had `grace` milliseconds again
   */
  close(options?: CloseOptions): Promise<void>
}

/** So that `finally` blocks that wait can end, even if there is no grace. */
const LEAST_END_MS = 1000

/** What a server needs of a request. */
interface Member {
  readonly living: readonly Greenlet[]
  shutDown(error: unknown): void
  cutOff(): void
}

/** A request that is being handled. */
export interface Membership {
  readonly server: ServerGreenlets
  readonly request: Member
  /** Why the request must be refused; undefined if it may be handled. */
  readonly refusal: UnavailableError | undefined
  /** Its index in the server's list; -1 once it was removed. */
  place: number
}

export class ServerGreenlets {
  readonly options: Checked
  /** Not a Set: adding an object to one gives the object a hash, which takes time. */
  readonly #memberships: Membership[] = []
  /** How many of them were refused. Only their error handlers run. */
  #refused = 0
  #closed = false
  /** Called when the last request ends. */
  #onIdle: (() => void)[] = []

  /**
   * Checks the options, and makes one greenlet: what greenlets learn when they start is learnt now, and not in the first
   * request.
   *
   * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
   * @throws UnsupportedRuntimeError where greenlets do not work
   */
  constructor(options: unknown, more?: readonly string[]) {
    this.options = checkOptions(options, more)
    new Greenlet(() => {}, { name: 'greenlets()' }).switch()
  }

  get #admitted(): number {
    return this.#memberships.length - this.#refused
  }

  get living(): Set<Greenlet> {
    return new Set(this.#memberships.flatMap(({ request }) => request.living))
  }

  /** Adds `living` and `close` to what the adapter's `greenlets()` gives. */
  control<T extends object>(target: T): T & ServerControl {
    Object.defineProperties(target, {
      living: { configurable: true, get: () => this.living },
      close: { configurable: true, writable: true, value: (options?: CloseOptions) => this.close(options) },
    })
    return target as T & ServerControl
  }

  /** For `RequestGreenlets`. */
  add(request: Member): Membership {
    const { limit } = this.options
    const refusal = this.#closed
      ? closedError()
      : limit !== undefined && this.#admitted >= limit
        ? limitError(limit)
        : undefined
    const membership = { server: this, request, refusal, place: this.#memberships.length }
    this.#memberships.push(membership)
    if (refusal !== undefined) this.#refused++
    return membership
  }

  /** For `RequestGreenlets`. */
  remove(membership: Membership): void {
    const { place } = membership
    if (place === -1) return
    const last = this.#memberships.pop()!
    if (last !== membership) {
      this.#memberships[place] = last
      last.place = place
    }
    membership.place = -1
    if (membership.refusal !== undefined) this.#refused--
    if (this.#onIdle.length === 0 || this.#admitted > 0) return
    for (const call of this.#onIdle.splice(0)) call()
  }

  async close(options?: CloseOptions): Promise<void> {
    const grace = checkClose(options, this.options.grace)
    this.#closed = true
    if (await this.#idle(grace)) return
    for (const { request } of this.#memberships.slice()) request.shutDown(closedError())
    if (await this.#idle(Math.max(grace, LEAST_END_MS))) return
    // Their answers began and did not end.
    for (const { request } of this.#memberships.slice()) request.cutOff()
    const left = [...this.living].map(({ name }) => quoted(name))
    if (left.length === 0) return
    throw new GreenletError(
      'ERR_GREENLET_KILL_REFUSED',
      `these greenlets were killed and are still alive: ${left.join(', ')}; a catch block must throw the GreenletExit again`,
    )
  }

  /** Whether there are no more requests, within `ms` milliseconds. */
  #idle(ms: number): Promise<boolean> {
    if (this.#admitted === 0) return Promise.resolve(true)
    return new Promise((resolve) => {
      const idle = (): void => {
        clearTimeout(timer)
        resolve(true)
      }
      const timer = setTimeout(() => {
        this.#onIdle = this.#onIdle.filter((other) => other !== idle)
        resolve(false)
      }, ms)
      this.#onIdle.push(idle)
    })
  }
}
