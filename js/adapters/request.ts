/**
 * The greenlets of one HTTP request: what an adapter needs, whatever its framework. Mostly there is one at a time; a
 * framework that goes on from a callback of the event loop, as after reading a body, gets another.
 *
 * They end with their client: when the response closes before it was finished, each is killed where it waits.
 */

import type { ServerResponse } from 'node:http'
import { GreenletError, isExit } from '../errors.ts'
import { Greenlet } from '../greenlet.ts'

/** How long a greenlet may take to end, say in a `finally` that waits, before that is reported. */
const GRACE_MS = 1000

/** What passes as a 503 in frameworks that look at the errors they are given. */
export interface Unavailable {
  status?: number
  statusCode?: number
}

export class RequestGreenlets {
  readonly #name: string
  readonly #response: ServerResponse
  readonly #living = new Set<Greenlet>()
  #latest: Greenlet = Greenlet.main
  #abandoned: boolean

  /** @param name of each of its greenlets, as `GET /orders/7` */
  constructor(name: string, response: ServerResponse) {
    this.#name = name
    this.#response = response
    this.#abandoned = response.destroyed
    response.once('close', () => {
      if (!response.writableFinished) this.#abandon()
    })
  }

  /** Whether the client has gone away without its answer. Nothing of the request needs to run any more. */
  get abandoned(): boolean {
    return this.#abandoned
  }

  /** Whether one of them runs. */
  get inside(): boolean {
    return this.#living.has(Greenlet.current)
  }

  /** The one that runs; else the latest that lives; else the latest; main if there was none. */
  get current(): Greenlet {
    return this.inside ? Greenlet.current : ([...this.#living].at(-1) ?? this.#latest)
  }

  /**
   * Calls `run` in a new greenlet, whose parent is main, at once if main runs. Another greenlet is not kept waiting: then
   * the event loop starts it.
   *
   * @param run should not throw; what it throws costs the request its response
   * @param fail called on main with the reason why there can be no greenlet, or that main cannot go on as it did
   */
  start(run: () => void, fail: (reason: unknown) => void): void {
    if (Greenlet.current !== Greenlet.main) {
      setImmediate(() => this.start(run, fail))
      return
    }
    let greenlet: Greenlet | undefined
    try {
      const runRequest = (): void => this.#live(run)
      greenlet = new Greenlet(runRequest, { parent: Greenlet.main, name: this.#name })
      greenlet.switch()
    } catch (error) {
      // It has no stack. Or it has started, and somebody sent main an error, which would be an uncaught exception there.
      if (greenlet?.started === false) greenlet.kill()
      fail(unavailable(error))
    }
  }

  /** What a greenlet of the request runs. */
  #live(run: () => void): void {
    this.#latest = Greenlet.current
    this.#living.add(this.#latest)
    try {
      run()
    } catch (error) {
      if (!isExit(error)) this.#report(error)
    } finally {
      this.#living.delete(Greenlet.current)
    }
  }

  /** For an error that nobody takes. Main must not get it: that would be an uncaught exception, the end of all requests. */
  #report(error: unknown): void {
    this.#response.destroy()
    process.emitWarning(error instanceof Error ? error : `greenlet '${this.#name}' ended with ${String(error)}`)
  }

  #abandon(): void {
    this.#abandoned = true
    this.#killAll()
  }

  /** On main, where none of them runs. */
  #killAll(): void {
    if (Greenlet.current !== Greenlet.main) {
      setImmediate(() => this.#killAll())
      return
    }
    // The latest first, as one stack would unwind.
    for (const greenlet of [...this.#living].toReversed()) kill(greenlet)
  }
}

const LACKING = ['ERR_GREENLET_LIMIT', 'ERR_GREENLET_NO_MEMORY', 'ERR_GREENLET_NO_SLOT']

/** Marks a lack of stacks or memory as a 503 of the request that it fails. */
function unavailable(error: unknown): unknown {
  return error instanceof GreenletError && LACKING.includes(error.code) ? withStatus503(error) : error
}

/** Gives an error the properties by which web frameworks choose the status of the answer. */
export function withStatus503<E extends Error>(error: E & Unavailable): E {
  error.status ??= 503
  error.statusCode ??= error.status
  return error
}

function kill(greenlet: Greenlet): void {
  try {
    greenlet.kill()
  } catch (error) {
    // It switched away instead of ending. A `finally` may have to wait for something; it gets a while for that.
    if (!greenlet.dead) setTimeout(warnUnlessDead, GRACE_MS, greenlet).unref()
    else process.emitWarning(error as Error)
  }
}

function warnUnlessDead(greenlet: Greenlet): void {
  if (greenlet.dead) return
  process.emitWarning(
    `greenlet '${greenlet.name}' still runs ${GRACE_MS / 1000} s after its client went away: it caught GreenletExit and ` +
      'waits again; let it end after a GreenletExit',
    { type: 'GreenletWarning', code: 'ERR_GREENLET_KILL_REFUSED', detail: greenlet.gr_stack.toString() },
  )
}
