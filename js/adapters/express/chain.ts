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
import { RequestGreenlets, withStatus503 } from '../request.ts'

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

/** One for all requests: V8 would keep a getter for each request, and with it the request, until a full collection. */
const greenletProperty: PropertyDescriptor & ThisType<Request> = {
  configurable: true,
  get() {
    return chainOf(this)!.greenlet
  },
}

export class Chain {
  readonly #greenlets: RequestGreenlets
  /**
   * Whether no greenlet could be made. From then on the handlers of the request, mostly error handlers, run on main.
   */
  #onMain = false

  constructor(req: Request, res: ServerResponse) {
    // Without the query: names are printed and logged.
    const path = (req.originalUrl ?? req.url ?? '').split('?', 1)[0]
    this.#greenlets = new RequestGreenlets(`${req.method} ${path}`, res)
    req[CHAIN] = this
    Object.defineProperty(req, 'greenlet', greenletProperty)
  }

  /** The greenlet that runs for the request, or that ran last. */
  get greenlet(): Greenlet {
    return this.#greenlets.current
  }

  /**
   * Whether a handler may be called on this stack: it is a greenlet of this request, or the request has to run on main.
   */
  get isHere(): boolean {
    return this.#greenlets.inside || this.#onMain
  }

  /** Calls `handler` in a new greenlet. An error that leaves it goes to `next`. */
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

  /** Whether `error` is the GreenletExit that ends the request of a disconnected client. No handler must see it. */
  isOver(error: unknown): boolean {
    return this.#greenlets.abandoned && isExit(error)
  }

  /** Makes the function that a handler gets in place of Express' own `next`. */
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

  /**
   * Whether `next(error)` may go on, or a handler may be called. Once the client has disconnected, only errors go on.
   */
  mayGoOn(error: unknown): boolean {
    const exit = isExit(error)
    if (!this.#greenlets.abandoned) {
      // The program has ended the greenlet, and the client waits for an answer.
      if (exit) withStatus503(error)
      return true
    }
    // Errors should be logged. The strings are instructions for the router.
    return !exit && Boolean(error) && error !== 'route' && error !== 'router'
  }
}
