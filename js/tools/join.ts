/**
 * `joinAll()` and `waitAny()`: waiting for several greenlets or promises.
 */

import { rangeError, typeError } from '../common/errors.ts'
import { describe } from '../common/values.ts'
import { tellWait, wait } from '../engine.ts'
import { combined, refuseOnMain } from './calls.ts'
import { checkLimits, type Limits } from './options.ts'

/**
 * The results of greenlets, or the values of promises.
 *
 * @example
 * ```js
 * import type { Results } from 'greenlets/tools'
 *
 * const results: Results<[Promise<number>, Promise<string>]> = [1, 'two']
 * ```
 */
export type Results<P extends readonly PromiseLike<unknown>[]> = { -readonly [K in keyof P]: Awaited<P[K]> }

/**
 * Blocks until all have ended, also where some fail. Returns their results, in the order of the list. If one failed, its
 * error is thrown; if several failed, an `AggregateError` with all errors. To go on at the first error, use
 * `wait(Promise.all(list))` or a `group()`.
 *
 * A list that is not all done when `joinAll` is killed, or its time is up, goes on.
 *
 * @example
 * ```js
 * const size = (word) => {
 *   sleep(1)
 *   return word.length
 * }
 * await spawn(() => joinAll([spawn(size, 'apple'), spawn(size, 'fig')])) // [ 5, 3 ]
 * ```
 *
 * @param list what `spawn()` gave, or promises
 * @throws TimeoutError `ERR_GREENLET_TIMEOUT`, or the reason of the signal
 * @throws GreenletError `ERR_GREENLET_KILLED` for one that was killed; `ERR_GREENLET_WAIT_ON_MAIN`
 * @throws TypeError `ERR_GREENLET_INVALID_ARG`
 */
export function joinAll<const P extends readonly PromiseLike<unknown>[]>(list: P, limits?: Limits): Results<P>
export function joinAll<T>(list: Iterable<PromiseLike<T>>, limits?: Limits): Awaited<T>[]
export function joinAll(list: Iterable<PromiseLike<unknown>>, limits?: Limits): unknown[] {
  const all = checkList('joinAll()', list)
  checkLimits('joinAll()', limits)
  refuseOnMain('joinAll()')
  const results: unknown[] = []
  const errors: unknown[] = []
  const settled = Promise.allSettled(all)
  tellWait(settled, { told: { kind: 'greenlets', tool: settled, waiting: 1, joined: all } })
  for (const outcome of wait(settled, limits)) {
    if (outcome.status === 'fulfilled') results.push(outcome.value)
    else errors.push(outcome.reason)
  }
  if (errors.length > 0) throw combined(errors, 'joinAll()')
  return results
}

/**
 * Blocks until the first one has ended, and returns that element of the list: `join()` or `wait()` gives its result, or throws its
 * error. If several have ended already, it is the first of them in the list. The others go on. Like `Promise.race()`, it takes the
 * errors of all: none of them is an unhandled rejection any more.
 *
 * @example
 * ```js
 * const slow = spawn(() => sleep(1000))
 * const fast = spawn(() => 'done')
 * await spawn(() => waitAny([slow, fast]) === fast) // true
 * slow.kill()
 * ```
 *
 * @param list what `spawn()` gave, or promises; at least one
 * @throws TimeoutError `ERR_GREENLET_TIMEOUT`, or the reason of the signal
 * @throws GreenletError `ERR_GREENLET_WAIT_ON_MAIN`
 * @throws TypeError and RangeError `ERR_GREENLET_INVALID_ARG`
 */
export function waitAny<P extends PromiseLike<unknown>>(list: Iterable<P>, limits?: Limits): P {
  const all = checkList('waitAny()', list)
  if (all.length === 0) throw rangeError('waitAny() takes at least one greenlet or promise; it would wait for ever')
  checkLimits('waitAny()', limits)
  refuseOnMain('waitAny()')
  const ended = all.map((one, i) => {
    const index = (): number => i
    return Promise.resolve(one).then(index, index)
  })
  return all[wait(Promise.race(ended), limits)]!
}

function checkList<P>(of: string, list: Iterable<P>): P[] {
  if (typeof list !== 'object' || list === null || !(Symbol.iterator in list)) {
    throw typeError(`${of} takes a list of greenlets and promises, not ${describe(list)}`)
  }
  const all = [...list]
  for (const one of all as unknown[]) {
    if (typeof (one as { then?: unknown } | null | undefined)?.then === 'function') continue
    throw typeError(`${of} takes what spawn() gives, and promises, not ${describe(one)}`)
  }
  return all
}
