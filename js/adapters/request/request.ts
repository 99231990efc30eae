/**
 * The greenlets of one HTTP request: the part of an adapter that does not depend on the framework. Usually there is one
 * at a time. A framework that goes on from a callback of the event loop, for example after it has read a body, gets
 * another one.
 *
 * They end when their client disconnects: when the response closes before it was finished, or when the request's signal is
 * aborted, each is killed where it waits.
 */

import { AsyncResource } from 'node:async_hooks'
import { immediate } from '../../common/turns.ts'
import { quoted } from '../../common/text.ts'
import { expired, Greenlet, isExit } from '../../engine.ts'
import { end } from './ending.ts'
import { answerable, requestTimeout, unavailable, type UnavailableError } from './errors.ts'
import type { Membership, ServerGreenlets } from './server.ts'

/** What differs between frameworks. */
export interface Rules {
  /**
   * What `run(fn)` gives where a GreenletExit ends `fn`: the result of this function, or the error that it throws. Called at
   * each level, the innermost first. `request.abandoned` tells whether the client has left. Where it has not, the program or
   * `close()` has killed the greenlet, and `request.errorFor(exit)` is what the framework's error handler should get.
   */
  exit?(exit: unknown, request: RequestGreenlets): unknown
  /**
   * Answers with an error that no handler can throw: at the deadline while no greenlet waits, and for an error of a callback
   * that `bind()` made. Called on main. Not called once the answer has begun; then the response is destroyed, if there is one.
   * Where it is missing, the error becomes a warning.
   */
  fail?(error: unknown, request: RequestGreenlets): void
}

/** What is used of a response of node:http or node:http2. */
export interface Response {
  /** A response of HTTP/2 has that of its stream instead. */
  readonly destroyed?: boolean
  readonly stream?: { readonly destroyed: boolean } | undefined
  readonly headersSent: boolean
  readonly writableEnded: boolean
  readonly writableFinished: boolean
  destroy(): unknown
  on(event: 'close', listener: () => void): unknown
}

/** What tells that the client has left, and that the request is over. */
export interface Source {
  /** Its 'close' does both. */
  readonly response?: Response | undefined
  /** Its abort tells that the client has left. Without a response, the adapter must call `request.end()` at the end. */
  readonly signal?: AbortSignal | undefined
}

/** A call of `run(fn)` that is not over. */
interface Run {
  /** The greenlet in which `fn` is called; undefined before that, and after it has returned. */
  greenlet: Greenlet | undefined
  /** Where `fn` has returned a promise: rejects what `run(fn)` gave. */
  reject: ((error: unknown) => void) | undefined
}

export class RequestGreenlets {
  readonly name: string
  readonly #rules: Rules
  readonly #response: Response | undefined
  readonly #signal: AbortSignal | undefined
  // Most requests have one of each at a time, or none. An array that grows by `push()` gets room for 17 elements.
  #memberships: readonly Membership[] = NONE
  #living: readonly RequestGreenlet[] = NONE
  #runs: readonly Run[] = NONE
  #latest: Greenlet = Greenlet.main
  #abandoned = false
  /** Whether the answer is finished, or cannot be given any more. */
  #over = false
  /** Whether no greenlet could be made. From then on the handlers of the request, mostly error handlers, run on main. */
  #onMain = false
  #timers: NodeJS.Timeout[] | undefined = undefined
  /** The listener of its signal. */
  #onAbort: (() => void) | undefined = undefined
  /** Why its greenlets were killed, if not because the client left or by the program. */
  #reason: unknown = undefined

  /**
   * Why the request is refused, because of the server's limit or because it closes: the adapter gives this error, which has
   * `status`, `statusCode` and `headers`, to the framework's error handlers and calls no other handler. Undefined otherwise.
   */
  readonly refusal: UnavailableError | undefined

  /**
   * @param name the name of each of its greenlets, for example `GET /orders/7`
   */
  constructor(server: ServerGreenlets, name: string, rules: Rules, { response, signal }: Source) {
    const prefix = server.options.name
    this.name = prefix === undefined ? name : `${prefix} ${name}`
    this.#rules = rules
    this.#response = response
    this.#signal = signal
    this.refusal = this.join(server)
    if (response !== undefined) {
      // Not `once`, which makes more objects and removes the listener. A response closes once.
      response.on('close', () => {
        // A response of HTTP/2 says that it is finished even if the client has reset its stream.
        if (!response.writableFinished || response.writableEnded === false) this.abandon()
        this.end()
      })
    }
    if (signal !== undefined) {
      this.#onAbort = () => this.abandon()
      signal.addEventListener('abort', this.#onAbort, { once: true })
    }
    const closed = response !== undefined && isDestroyed(response)
    if (closed || signal?.aborted === true) this.abandon()
    // It has closed already, and will not tell.
    if (closed) this.end()
  }

  /**
   * The request counts in this server too, and has its deadline too: for `greenlets()` inside of `greenlets()`. Returns why the
   * server refuses it; undefined where it does not, or where the request has joined it before.
   */
  join(server: ServerGreenlets): UnavailableError | undefined {
    if (this.#over) return undefined
    for (const { server: other } of this.#memberships) if (other === server) return undefined
    const membership = server.add(this)
    this.#memberships = withOne(this.#memberships, membership)
    const { timeout } = server.options
    if (timeout !== undefined) this.#setDeadline(timeout, server)
    return membership.refusal
  }

  /** Apart from `join`: the variables of a closure are made whenever the function around it is called. */
  #setDeadline(ms: number, server: ServerGreenlets): void {
    this.#at(ms, () => this.#expire(ms, server))
  }

  /** Whether the client has disconnected without its answer. No more handlers of the request need to run. */
  get abandoned(): boolean {
    return this.#abandoned
  }

  /** Whether one of the request's greenlets runs. */
  get inside(): boolean {
    return isIn(this.#living, Greenlet.current)
  }

  /**
   * Whether a handler may be called on this stack: it is a greenlet of this request, or the request has to run on main.
   */
  get isHere(): boolean {
    return this.#onMain || this.inside
  }

  /** Its live greenlets, the oldest first. */
  get living(): readonly Greenlet[] {
    return this.#living
  }

  /** The running greenlet of the request; else its latest live one; else its latest; main if there was none. */
  get current(): Greenlet {
    const { current } = Greenlet
    return isIn(this.#living, current) ? current : (this.#living.at(-1) ?? this.#latest)
  }

  /** The error that the framework's error handler gets in place of a GreenletExit, if the client waits for an answer. */
  errorFor(exit: unknown): unknown {
    return this.#reason ?? answerable(exit)
  }

  /**
   * Calls `fn` in a greenlet of this request: in the running one if it is one, else in a new one. Returns what `fn` returns,
   * or throws what it throws, if it ends without waiting; else a promise of that, which is a plain one. What `fn` gives is not
   * waited for: if it is a promise, `run` gives a promise too.
   *
   * A GreenletExit that ends `fn`, or rejects its promise, is replaced by what `rules.exit` gives.
   */
  run<T>(fn: () => T): T | Promise<Awaited<T>> {
    if (this.isHere) return this.#call(fn)
    let outcome: { readonly threw: boolean; readonly value: unknown } | undefined
    let settle: (() => void) | undefined
    const done = (threw: boolean, value: unknown): void => {
      outcome ??= { threw, value }
      settle?.()
    }
    const task = (): void => {
      let value
      try {
        value = this.#call(fn)
      } catch (error) {
        return done(true, error)
      }
      return done(false, value)
    }
    this.start(task, (reason) => done(true, reason))
    const ended = outcome as { readonly threw: boolean; readonly value: unknown } | undefined
    if (ended !== undefined) {
      if (ended.threw) throw ended.value
      return ended.value as T
    }
    return new Promise((resolve, reject) => {
      settle = () => (outcome!.threw ? reject(outcome!.value) : resolve(outcome!.value as Awaited<T>))
    })
  }

  /** Calls `fn` on this stack. */
  #call<T>(fn: () => T): T | Promise<Awaited<T>> {
    const run: Run = { greenlet: Greenlet.current, reject: undefined }
    this.#runs = withOne(this.#runs, run)
    let result: T
    try {
      result = fn()
    } catch (error) {
      this.#remove(run)
      return this.#afterExit(error) as T
    }
    if (!isThenable(result)) {
      this.#remove(run)
      return result
    }
    run.greenlet = undefined
    const promise = result
    return new Promise((resolve, reject) => {
      run.reject = (error) => {
        this.#remove(run)
        reject(error)
      }
      promise.then(
        (value) => {
          this.#remove(run)
          resolve(value as Awaited<T>)
        },
        (error: unknown) => {
          this.#remove(run)
          try {
            resolve(this.#afterExit(error) as Awaited<T>)
          } catch (other) {
            reject(other)
          }
        },
      )
    })
  }

  /** Gives what comes after a GreenletExit, or throws it. Throws other errors. */
  #afterExit(error: unknown): unknown {
    if (!isExit(error) || this.#rules.exit === undefined) throw error
    return this.#rules.exit(error, this)
  }

  #remove(run: Run): void {
    this.#runs = withoutOne(this.#runs, run)
  }

  /**
   * Calls `task` in a new greenlet, which has main as its parent. It starts at once if main runs. If another greenlet
   * runs, the event loop starts it later, so that the running one does not have to wait.
   *
   * @param task should not throw: if it throws, the response is destroyed
   * @param fail called on main, if there can be no greenlet, or if an error was sent to main; gets the error
   */
  start(task: () => void, fail: (reason: unknown) => void): void {
    if (Greenlet.current !== Greenlet.main) {
      this.#startLater(task, fail)
      return
    }
    let greenlet: RequestGreenlet | undefined
    try {
      greenlet = new RequestGreenlet(this, task)
      greenlet.switch()
    } catch (error) {
      // It has no stack. Or it has started, and a greenlet sent an error to main, which would be an uncaught exception
      // there.
      if (greenlet?.started === false) greenlet.kill()
      this.#onMain = true
      fail(unavailable(error))
    }
  }

  #startLater(task: () => void, fail: (reason: unknown) => void): void {
    immediate(() => this.start(task, fail))
  }

  /** Called by a greenlet of the request at its start. */
  entered(greenlet: RequestGreenlet): void {
    this.#latest = greenlet
    this.#living = withOne(this.#living, greenlet)
  }

  /** Called by a greenlet of the request at its end. */
  left(greenlet: RequestGreenlet): void {
    this.#living = withoutOne(this.#living, greenlet)
    if (this.#over) this.#leave()
  }

  /** For an error that no handler caught. On main it would be an uncaught exception, which would end all requests. */
  report(error: unknown): void {
    this.#response?.destroy()
    process.emitWarning(error instanceof Error ? error : `greenlet ${quoted(this.name)} ended with ${String(error)}`)
  }

  /**
   * Makes a function that calls `fn` in a greenlet of this request, with the async context of now. It returns what `fn`
   * returns, if that does not have to wait, and undefined otherwise. In a greenlet of this request it just calls `fn`.
   */
  bind<This, Args extends unknown[], Result>(
    fn: (this: This, ...args: Args) => Result,
  ): (this: This, ...args: Args) => Result | undefined {
    const context = new AsyncResource('GREENLET_CALLBACK')
    const call = (self: This, args: Args): Result | undefined =>
      this.inside ? fn.apply(self, args) : this.#callBack(context, () => fn.apply(self, args))
    return function (...args) {
      return call(this, args)
    }
  }

  #callBack<T>(context: AsyncResource, call: () => T): T | undefined {
    let result: T | undefined
    const task = (): void => {
      try {
        result = call()
        if (isThenable(result)) result.then(undefined, (error: unknown) => this.#failBack(error))
      } catch (error) {
        this.#failBack(error)
      }
    }
    context.runInAsyncScope(() => this.start(task, (reason) => this.#fail(reason)))
    return result
  }

  /** For an error of a callback, which would be an uncaught exception otherwise. */
  #failBack(error: unknown): void {
    if (!isExit(error)) this.#fail(error)
    else if (!this.#abandoned && !this.#over) this.#fail(this.errorFor(error))
  }

  /** Answers with an error that no handler can throw. */
  #fail(error: unknown): void {
    if (Greenlet.current !== Greenlet.main) {
      immediate(() => this.#fail(error))
      return
    }
    const response = this.#response
    const begun = response !== undefined && (response.headersSent || response.writableEnded || isDestroyed(response))
    if (!begun && !this.#over && this.#rules.fail !== undefined) {
      this.#rules.fail(error, this)
      return
    }
    if (begun && !response.writableEnded) response.destroy()
    process.emitWarning(error instanceof Error ? error : `request ${quoted(this.name)} failed with ${String(error)}`)
  }

  /** The client has left: kills all greenlets of the request, the latest first, in the order in which one stack would unwind. */
  abandon(): void {
    if (this.#abandoned) return
    this.#abandoned = true
    this.#killAll('its client disconnected')
  }

  /** The request was answered, or cannot be answered. Greenlets that still work on it are not killed. */
  end(): void {
    if (this.#over) return
    this.#over = true
    for (const timer of this.#timers ?? []) clearTimeout(timer)
    this.#timers = undefined
    this.#signal?.removeEventListener('abort', this.#onAbort!)
    if (this.#living.length === 0) this.#leave()
  }

  #leave(): void {
    // The server may call code that starts a greenlet of the request.
    for (const membership of this.#memberships) if (this.#living.length === 0) membership.server.remove(membership)
  }

  /** For the server: kills its greenlets, or answers with `error` where no greenlet runs. */
  shutDown(error: unknown): void {
    this.#reason = error
    if (this.#living.length > 0) this.#killAll('close() was called')
    else if (!this.#over) this.#interrupt(error)
  }

  /** For the server: the answer is not finished, and nothing else has helped. */
  cutOff(): void {
    this.#response?.destroy()
    this.end()
  }

  #at(ms: number, call: () => void): void {
    const timer = setTimeout(call, ms)
    if (this.#timers === undefined) this.#timers = [timer]
    else this.#timers.push(timer)
  }

  /** The deadline. Handlers that go on after it are killed when the grace is over. */
  #expire(ms: number, { options: { grace } }: ServerGreenlets): void {
    if (this.#over || this.#abandoned) return
    const error = requestTimeout(this.name, ms)
    this.#at(grace, () => {
      this.#reason = error
      this.#killAll('its timeout', true)
    })
    this.#interrupt(error)
  }

  /** Throws `error` into what the request waits for. */
  #interrupt(error: unknown): void {
    if (Greenlet.current !== Greenlet.main) {
      immediate(() => this.#interrupt(error))
      return
    }
    if (this.#over) return
    const run = this.#runs.at(-1)
    const greenlet = run === undefined ? this.#living.findLast(isSuspended) : run.greenlet
    if (greenlet !== undefined) expired.add(greenlet)
    if (run?.reject !== undefined) run.reject(error)
    else if (greenlet === undefined || !isSuspended(greenlet)) this.#fail(error)
    else if (!greenlet.interrupt(error)) throwInto(greenlet, error)
  }

  /**
   * Kills the request's greenlets on main, where none of them runs. Those that had to end at the deadline get `grace`
   * milliseconds first, unless they had them.
   */
  #killAll(why: string, graceIsOver = false): void {
    if (Greenlet.current !== Greenlet.main) {
      immediate(() => this.#killAll(why, graceIsOver))
      return
    }
    const { grace } = this.#memberships[0]!.server.options
    for (const greenlet of this.#living.toReversed()) {
      end(greenlet, grace, why, !graceIsOver && expired.has(greenlet))
    }
  }
}

const NONE: readonly never[] = []

function withOne<T>(list: readonly T[], one: T): readonly T[] {
  return list.length === 0 ? [one] : [...list, one]
}

function withoutOne<T>(list: readonly T[], one: T): readonly T[] {
  return list.length === 1 && list[0] === one ? NONE : filtered(list, one)
}

function filtered<T>(list: readonly T[], one: T): readonly T[] {
  return list.filter((other) => other !== one)
}

/** As `includes()`, which takes longer. */
function isIn<T>(list: readonly T[], one: T): boolean {
  return list[0] === one || (list.length > 1 && list.includes(one))
}

/** A greenlet of a request. */
class RequestGreenlet extends Greenlet {
  #request: RequestGreenlets | undefined
  #task: (() => void) | undefined

  /** Called on main, which so is its parent. Without options, because checking them takes time. */
  constructor(request: RequestGreenlets, task: () => void) {
    super()
    this.name = request.name
    this.#request = request
    this.#task = task
  }

  override run(): void {
    const request = this.#request!
    const task = this.#task!
    this.#task = undefined
    request.entered(this)
    try {
      task()
    } catch (error) {
      if (!isExit(error)) request.report(error)
    } finally {
      // A program may keep the greenlet for long.
      this.#request = undefined
      request.left(this)
    }
  }

  static requestOf(greenlet: Greenlet): RequestGreenlets | undefined {
    return #request in greenlet ? greenlet.#request : undefined
  }
}

/** The request that a live greenlet works for; undefined for other greenlets. */
export function requestOf(greenlet: Greenlet): RequestGreenlets | undefined {
  return RequestGreenlet.requestOf(greenlet)
}

function isDestroyed({ destroyed, stream }: Response): boolean {
  return destroyed ?? stream?.destroyed ?? false
}

function isSuspended(greenlet: Greenlet): boolean {
  return greenlet.state === 'suspended'
}

/** For a greenlet that has switched away by hand, or that is about to be resumed. */
function throwInto(greenlet: Greenlet, error: unknown): void {
  try {
    greenlet.throw(error)
  } catch (other) {
    // It cannot be resumed now, or a greenlet sent an error to main.
    process.emitWarning(other as Error)
  }
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    ((typeof value === 'object' && value !== null) || typeof value === 'function') &&
    typeof (value as { then?: unknown }).then === 'function'
  )
}
