/**
 * The chain of handlers of one request in Express. It runs all of them in greenlets, and decides what goes from one
 * handler to the next.
 *
 * Express catches the errors of a handler and calls `next(error)`. A GreenletExit that ends an abandoned request has to
 * get through that, to the outermost frame of the stack, so that every `finally` block runs and no error handler does.
 * So `next()` throws it again, and it never returns in a greenlet of which the client has disconnected.
 */

import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Greenlet, GreenletExit, isExit } from '../../engine.ts'
import type { UnavailableError } from '../request/errors.ts'
import { RequestGreenlets } from '../request/request.ts'
import type { ServerGreenlets } from '../request/server.ts'

/** Takes an error, `'route'`, `'router'` or nothing. */
export type Next = (error?: unknown) => void

/** A request of Express. */
export interface Request extends IncomingMessage {
  readonly app?: unknown
  readonly originalUrl?: string
  /** The `next` of the innermost router. */
  next?: Next
  [CHAIN]?: Chain
}

/** The key of a request's chain. */
const CHAIN = Symbol('greenlets')

/** The chain of a request that `greenlets()` has seen. */
export function chainOf(req: Request): Chain | undefined {
  return req[CHAIN]
}

/** In the prototype of all requests of Express: a getter for each request would take time and memory. */
const greenletProperty: PropertyDescriptor & ThisType<Request> = {
  configurable: true,
  get() {
    return chainOf(this)?.greenlet
  },
}

/**
 * Gives all requests of this copy of Express the property `greenlet`, which is undefined without `greenlets()`. Returns whether
 * all requests of the same app have it now.
 */
export function defineGreenlet(req: Request): boolean {
  // Each app has a prototype of its own, which inherits from the one that they share.
  const own: unknown = (req.app as { request?: unknown } | undefined)?.request
  const shared: unknown = typeof own === 'object' && own !== null ? Object.getPrototypeOf(own) : undefined
  const isShared = typeof shared === 'object' && shared !== null && Object.prototype.isPrototypeOf.call(shared, req)
  if (!('greenlet' in req)) Object.defineProperty(isShared ? shared : req, 'greenlet', greenletProperty)
  return isShared && 'greenlet' in shared
}

/** Without the query: names are printed and logged. */
function pathOf(req: Request): string {
  const url = req.originalUrl ?? req.url ?? ''
  const end = url.indexOf('?')
  return end === -1 ? url : url.slice(0, end)
}

export class Chain {
  readonly #greenlets: RequestGreenlets
  /** The `next` of the handler that was called last: Express' own, and what the handler got in its place. */
  #next: Next | undefined = undefined
  #follow: Next | undefined = undefined
  /**
   * What handlers got as `next` whose turn is over, because of an error that was not theirs, for example of a deadline. What
   * they pass on later is ignored.
   */
  #late: Set<Next> | undefined = undefined

  constructor(server: ServerGreenlets, req: Request, res: ServerResponse) {
    this.#greenlets = new RequestGreenlets(server, `${req.method} ${pathOf(req)}`, this, { response: res })
    req[CHAIN] = this
  }

  /** The greenlet that runs for the request, or that ran last. */
  get greenlet(): Greenlet {
    return this.#greenlets.current
  }

  get greenlets(): RequestGreenlets {
    return this.#greenlets
  }

  /** Why no handler may be called except error handlers; they get this. */
  get refusal(): UnavailableError | undefined {
    return this.#greenlets.refusal
  }

  /** Whether a handler may be called on this stack. */
  get isHere(): boolean {
    return this.#greenlets.isHere
  }

  /** Calls `handler` in a new greenlet. An error that leaves it goes to `next`. */
  enter(handler: () => void, next: Next): void {
    const run = (): void => {
      try {
        handler()
      } catch (error) {
        if (!this.isOver(error)) next(this.answerable(error))
      }
    }
    this.#greenlets.start(run, next)
  }

  /** Calls `next` in a new greenlet. */
  goOn(next: Next, error: unknown): void {
    this.enter(() => next(error), next)
  }

  /** One of the rules of RequestGreenlets: passes an error to the error handlers that come after the latest handler. */
  fail(error: unknown): void {
    this.#late ??= new Set()
    this.#late.add(this.#follow!)
    this.goOn(this.#next!, error)
  }

  /** Whether `error` is the GreenletExit that ends the request of a disconnected client. No handler must see it. */
  isOver(error: unknown): boolean {
    return this.#greenlets.abandoned && isExit(error)
  }

  /** Makes the function that a handler gets in place of Express' own `next`. */
  follow(next: Next): Next {
    const nextInGreenlet: Next = (error) => {
      if (this.mayGoOn(error) && this.#late?.has(nextInGreenlet) !== true) {
        const given = this.answerable(error)
        if (this.isHere) next(given)
        else this.goOn(next, given)
      }
      if (this.#greenlets.abandoned && this.#greenlets.inside) throw isExit(error) ? error : new GreenletExit()
    }
    this.#next = next
    this.#follow = nextInGreenlet
    return nextInGreenlet
  }

  /** The program, or `close()`, has ended the greenlet, and the client waits for an answer. */
  answerable(error: unknown): unknown {
    return isExit(error) ? this.#greenlets.errorFor(error) : error
  }

  /**
   * Whether `next(error)` may go on, or a handler may be called. Once the client has disconnected, only errors go on.
   */
  mayGoOn(error: unknown): boolean {
    if (!this.#greenlets.abandoned) return true
    // Errors should be logged. The strings are instructions for the router.
    return !isExit(error) && Boolean(error) && error !== 'route' && error !== 'router'
  }
}
