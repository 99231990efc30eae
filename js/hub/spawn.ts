/**
 * `spawn()`: greenlets that the event loop starts and that can be awaited. It is how code outside of greenlets starts
 * one.
 */

import { isPromise } from 'node:util/types'
import { isExit, typeError } from '../common/errors.ts'
import { addOwnCode, type Mark } from '../common/own-code.ts'
import { describe } from '../common/values.ts'
import { deliver, endUnstarted, finishEnded } from '../core/lifecycle.ts'
import { type GreenletRecord, UNSTARTED } from '../core/record.ts'
import { thread } from '../core/thread.ts'
import { CHILD_OF_MAIN, Greenlet, recordOf } from '../greenlet/greenlet.ts'
import { wait } from './wait.ts'

/** Where this file's own code begins; see common/own-code.ts. */
function first<T>(probe: () => T): T {
  return probe()
}

/** The first mark of the class, which some bundlers move away from the functions. */
const marks: { first?: Mark } = {}

/**
 * A greenlet that is also a thenable: `await` gives the result of its function, or throws the error of its function.
 */
export class SpawnedGreenlet<T> extends Greenlet implements PromiseLike<T> {
  static {
    marks.first = (probe) => probe()
  }

  readonly #result: Promise<T>

  constructor(fn: (...args: never[]) => unknown, args: unknown[]) {
    super(fn, CHILD_OF_MAIN)
    const record = recordOf(this)
    record.spawnArguments = args
    this.#result = resultOf(record)
  }

  // oxlint-disable-next-line no-thenable -- the class is meant to be a thenable
  then<A = T, B = never>(
    onResult?: ((result: T) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    // V8 may have ended this greenlet; then the promise is rejected now.
    finishEnded()
    return this.#result.then(onResult, onError)
  }

  /**
   * Blocks the calling greenlet until this one has ended. As `wait(greenlet)`: returns its result, or throws its error.
   *
   * @throws GreenletError `ERR_GREENLET_WAIT_ON_MAIN`, `ERR_GREENLET_WAIT_ON_SELF`
   */
  join(): Awaited<T> {
    return wait<PromiseLike<T>>(this)
  }

  static {
    addOwnCode(marks.first!, (probe) => probe())
  }
}

/**
 * Calls `fn` in a new greenlet, soon: the event loop starts it after the code that runs now. The greenlet's parent is
 * main.
 *
 * The greenlet can be awaited. Its result goes to that promise and not to its parent. So does its error, which is
 * reported as an unhandled rejection if nothing awaits it. A `GreenletExit` ends it without an error, and is the
 * result.
 *
 * @throws TypeError `ERR_GREENLET_INVALID_ARG`
 * @throws UnsupportedRuntimeError where greenlets do not work
 */
export function spawn<Args extends unknown[], T>(fn: (...args: Args) => T, ...args: Args): SpawnedGreenlet<Awaited<T>> {
  if (typeof fn !== 'function') throw typeError(`spawn() takes a function, not ${describe(fn)}`)
  const greenlet = new SpawnedGreenlet<Awaited<T>>(fn, args)
  // The Immediate forgets a function when it has called it, but keeps arguments; and it keeps the Immediates after it.
  thread.realm.setImmediate(() => startSpawned(greenlet))
  return greenlet
}

/** A promise of the result of a greenlet. Apart, because the record outlives its object and must not hold it. */
function resultOf<T>(record: GreenletRecord): Promise<T> {
  return new Promise((resolve, reject) => {
    record.settle = (threw, value) => {
      if (threw) reject(value)
      else resolve((isPromise(value) ? exitAsResult(value) : value) as T)
    }
  })
}

/** An async function turns the exit that ends it into a rejection. It is the result all the same. */
function exitAsResult(promise: Promise<unknown>): Promise<unknown> {
  // Not `promise.then()`, which may be a function of the program.
  return new Promise((resolve) => resolve(promise)).then(undefined, (error: unknown) => {
    if (isExit(error)) return error
    throw error
  })
}

function startSpawned(greenlet: Greenlet): void {
  const record = recordOf(greenlet)
  // It may have been switched to or killed meanwhile.
  if (record.state !== UNSTARTED) return
  try {
    deliver(record, false, [])
  } catch (error) {
    // If it could not start, for example because there is no stack slot, the error is its result.
    if ((record.state as number) !== UNSTARTED) throw error
    endUnstarted(record, error)
  }
}

/** Where this file's own code ends. */
function last<T>(probe: () => T): T {
  return probe()
}

addOwnCode(first, last, first, last)
