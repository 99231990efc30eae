/**
 * One request's way through Express: which of its handlers run in a greenlet (all of them), and what may pass from one to
 * the next.
 *
 * Express catches what a handler throws and calls `next(error)`. A GreenletExit that ends an abandoned request has to get
 * through that, to the bottom of the stack, so that every `finally` on it runs and no error handler does. So `next()`
 * throws it again, and never returns in a greenlet whose client has gone.
 */

import type { IncomingMessage, ServerResponse } from 'node:http'
import { GreenletExit, isExit } from '../../errors.ts'
import type { Greenlet } from '../../greenlet.ts'
import { RequestGreenlets, withStatus503 } from '../request.ts'

/** Takes an error, `'route'`, `'router'` or nothing. */
export type Next = (error?: unknown) => void

/** A request as Express made it. */
export interface Request extends IncomingMessage {
  readonly app?: unknown
  readonly originalUrl?: string
  /** That of the innermost router. */
  next?: Next
  [CHAIN]?: Chain
}

/** The key of a request's chain. */
const CHAIN = Symbol('greenlets')

/** The chain of a request that `greenlets()` has seen. */
export function chainOf(req: Request): Chain | undefined {
  return req[CHAIN]
}

/** One for all: V8 would keep a getter for each request, and the request with it, until a full collection. */
const greenletProperty: PropertyDescriptor & ThisType<Request> = {
  configurable: true,
  get() {
    return chainOf(this)!.greenlet
  },
}

export class Chain {
  readonly #greenlets: RequestGreenlets
  /** Whether there was no greenlet to be had: from then on the request's handlers, error handlers mostly, run on main. */
  #onMain = false

  constructor(req: Request, res: ServerResponse) {
    // Without the query: names are printed and logged.
    const path = (req.originalUrl ?? req.url ?? '').split('?', 1)[0]
    this.#greenlets = new RequestGreenlets(`${req.method} ${path}`, res)
    req[CHAIN] = this
    Object.defineProperty(req, 'greenlet', greenletProperty)
  }

  /** The greenlet that runs for the request, or did last. */
  get greenlet(): Greenlet {
    return this.#greenlets.current
  }

  /** Whether a handler may be called right here: in a greenlet of this request, or there is none for it. */
  get isHere(): boolean {
    return this.#greenlets.inside || this.#onMain
  }

  /** Calls `handler` in a new greenlet. What should leave it goes to `next`. */
  enter(handler: () => void, next: Next): void {
    const run = (): void => {
      try {
        handler()
      } catch (error) {
        if (!this.isOver(error)) next(error)
      }
    }
    this.#greenlets.start(run, (reason) => {
      this.#onMain = true
      next(reason)
    })
  }

  /** Whether `error` is the end of a request whose client has gone, and so nobody's business. */
  isOver(error: unknown): boolean {
    return this.#greenlets.abandoned && isExit(error)
  }

  /** What a handler gets in place of Express' own `next`. */
  follow(next: Next): Next {
    const nextInGreenlet: Next = (error) => {
      if (this.mayGoOn(error)) {
        if (this.isHere) {
          next(error)
        } else {
          const goOn = (): void => next(error)
          this.enter(goOn, next)
        }
      }
      if (this.#greenlets.abandoned && this.#greenlets.inside) throw isExit(error) ? error : new GreenletExit()
    }
    return nextInGreenlet
  }

  /** Whether `next(error)` may do anything, or a handler be called: not once the client has gone, but for errors. */
  mayGoOn(error: unknown): boolean {
    const exit = isExit(error)
    if (!this.#greenlets.abandoned) {
      // Then somebody else has ended the greenlet, and the client waits for an answer.
      if (exit) withStatus503(error)
      return true
    }
    // Errors should be logged. The rest are words for the router.
    return !exit && Boolean(error) && error !== 'route' && error !== 'router'
  }
}
