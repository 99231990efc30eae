/**
 * What the tools that call functions of the program have in common.
 */

import { isPromise } from 'node:util/types'
import { Greenlet, GreenletError, wait } from '../engine.ts'

/**
 * What a function has returned: an async function's promise is waited for. Only a native promise: waiting for another
 * thenable may start its work, for example a query of a query builder.
 */
export function finished<T>(result: T): Awaited<T> {
  return isPromise(result) ? (wait(result) as Awaited<T>) : (result as Awaited<T>)
}

/** Throws `ERR_GREENLET_WAIT_ON_MAIN` on main, before a tool has done anything. */
export function refuseOnMain(what: string): void {
  if (Greenlet.current !== Greenlet.main) return
  throw new GreenletError(
    'ERR_GREENLET_WAIT_ON_MAIN',
    `main cannot call ${what}, which has to wait: main runs the event loop, which has to end the wait; call it inside a ` +
      'greenlet, for example one that spawn() makes',
  )
}

/** One error for several. A single one stays as it is. */
export function combined(errors: readonly unknown[], what: string): unknown {
  if (errors.length === 1) return errors[0]
  return new AggregateError(
    errors,
    `${errors.length} errors in ${what}; they are in 'errors', in the order in which they came`,
  )
}

/**
 * Kills the greenlets, but not the current one. Returns the errors of `kill()`. A greenlet that waits in its cleanup goes
 * on ending.
 */
export function killEach(greenlets: readonly Greenlet[]): unknown[] {
  const errors: unknown[] = []
  for (const greenlet of greenlets) {
    if (greenlet === Greenlet.current) continue
    try {
      greenlet.kill()
    } catch (error) {
      errors.push(error)
    }
  }
  return errors
}

/** The longest pause between two attempts of `interruptSoon`, in milliseconds. */
const LONGEST_PAUSE_MS = 100

// Those of now. A test runner may replace them by fake ones later.
const { setTimeout } = globalThis

/**
 * Throws `error` in `greenlet` where it waits, or where it waits next: a greenlet that has switched away by hand, or that
 * the event loop is about to resume, cannot be interrupted now.
 *
 * @param wanted returns false once the error is not wanted any more
 * @param done called once the error is on its way
 */
export function interruptSoon(
  greenlet: Greenlet,
  error: unknown,
  wanted: () => boolean,
  done?: () => void,
  pause = 1,
): void {
  if (!wanted() || greenlet.dead) return
  if (greenlet.interrupt(error)) {
    done?.()
    return
  }
  const next = Math.min(2 * pause, LONGEST_PAUSE_MS)
  setTimeout(() => interruptSoon(greenlet, error, wanted, done, next), pause).unref()
}
