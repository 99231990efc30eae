/**
 * The greenlets of one HTTP request: the part of an adapter that does not depend on the framework. Usually there is one
 * at a time. A framework that goes on from a callback of the event loop, for example after it has read a body, gets
 * another one.
 *
 * They end when their client disconnects: when the response closes before it was finished, each is killed where it
 * waits.
 */

import type { ServerResponse } from 'node:http'
import { Greenlet, GreenletError, isExit } from '../engine.ts'

/** How long a greenlet may take to end, for example in a `finally` block that waits, before that is reported. */
const GRACE_MS = 1000

/** An error that makes web frameworks answer with its status. */
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

  /** @param name the name of each of its greenlets, for example `GET /orders/7` */
  constructor(name: string, response: ServerResponse) {
    this.#name = name
    this.#response = response
    this.#abandoned = response.destroyed
    // Not `once`, which makes more objects and removes the listener. A response closes once.
    response.on('close', () => {
      if (!response.writableFinished) this.#abandon()
    })
  }

  /** Whether the client has disconnected without its answer. No more handlers of the request need to run. */
  get abandoned(): boolean {
    return this.#abandoned
  }

  /** Whether one of the request's greenlets runs. */
  get inside(): boolean {
    return this.#living.has(Greenlet.current)
  }

  /** The running greenlet of the request; else its latest live one; else its latest; main if there was none. */
  get current(): Greenlet {
    return this.inside ? Greenlet.current : ([...this.#living].at(-1) ?? this.#latest)
  }

  /**
   * Calls `run` in a new greenlet, which has main as its parent. It starts at once if main runs. If another greenlet
   * runs, the event loop starts it later, so that the running one does not have to wait.
   *
   * @param run should not throw: if it throws, the response is destroyed
   * @param fail called on main, if there can be no greenlet, or if an error was sent to main; gets the error
   */
  start(run: () => void, fail: (reason: unknown) => void): void {
    if (Greenlet.current !== Greenlet.main) {
      setImmediate(() => this.start(run, fail))
      return
    }
    let greenlet: Greenlet | undefined
    try {
      const runRequest = (): void => this.#body(run)
      greenlet = new Greenlet(runRequest, { parent: Greenlet.main, name: this.#name })
      greenlet.switch()
    } catch (error) {
      // It has no stack. Or it has started, and a greenlet sent an error to main, which would be an uncaught exception
      // there.
      if (greenlet?.started === false) greenlet.kill()
      fail(unavailable(error))
    }
  }

  /** Runs as the body of each greenlet of the request. */
  #body(run: () => void): void {
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

  /** For an error that no handler caught. On main it would be an uncaught exception, which would end all requests. */
  #report(error: unknown): void {
    this.#response.destroy()
    process.emitWarning(error instanceof Error ? error : `greenlet '${this.#name}' ended with ${String(error)}`)
  }

  #abandon(): void {
    this.#abandoned = true
    this.#killAll()
  }

  /** Kills the request's greenlets on main, where none of them runs. */
  #killAll(): void {
    if (Greenlet.current !== Greenlet.main) {
      setImmediate(() => this.#killAll())
      return
    }
    // The latest first, in the order in which one stack would unwind.
    for (const greenlet of [...this.#living].toReversed()) kill(greenlet)
  }
}

const OUT_OF_RESOURCES: readonly string[] = ['ERR_GREENLET_LIMIT', 'ERR_GREENLET_NO_MEMORY', 'ERR_GREENLET_NO_SLOT']

/** Gives an error about a lack of stacks or memory the status 503. */
function unavailable(error: unknown): unknown {
  return error instanceof GreenletError && OUT_OF_RESOURCES.includes(error.code) ? withStatus503(error) : error
}

/** Sets the properties of an error by which web frameworks choose the status of the answer. */
export function withStatus503<E extends Error>(error: E & Unavailable): E {
  error.status ??= 503
  error.statusCode ??= error.status
  return error
}

function kill(greenlet: Greenlet): void {
  try {
    greenlet.kill()
  } catch (error) {
    // It switched away and did not end. A `finally` block may have to wait for something, so it gets some time.
    if (!greenlet.dead) setTimeout(warnUnlessDead, GRACE_MS, greenlet).unref()
    else process.emitWarning(error as Error)
  }
}

function warnUnlessDead(greenlet: Greenlet): void {
  if (greenlet.dead) return
  process.emitWarning(
    `greenlet '${greenlet.name}' still runs ${GRACE_MS / 1000} s after its client disconnected: it caught GreenletExit and ` +
      'waits again; let it end after a GreenletExit',
    { type: 'GreenletWarning', code: 'ERR_GREENLET_KILL_REFUSED', detail: greenlet.gr_stack.toString() },
  )
}
