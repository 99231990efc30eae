/**
 * `iterate()`: `for await` for plain functions.
 */

import { typeError } from '../common/errors.ts'
import { describe } from '../common/values.ts'
import { wait } from '../engine.ts'
import { refuseOnMain } from './calls.ts'

/** What an async iterator has answered. */
type Step<T> = { readonly result: IteratorResult<T, unknown> } | { readonly error: unknown }

/**
 * Iterates what `for await` iterates, with a plain `for...of`: a request body, a cursor, a socket, an async generator. It
 * blocks until each item has come. It may be used at any depth, in functions that are not async.
 *
 * As in `for await`, leaving the loop early, by `break` or an error, closes the source, which may block too: a stream is
 * destroyed. If the greenlet is killed, or its time is up, while it waits for an item, the source is closed without waiting for that.
 *
 * On main it throws `ERR_GREENLET_WAIT_ON_MAIN`, and the source is not touched.
 *
 * @example
 * ```js
 * import { Readable } from 'node:stream'
 *
 * function text(stream) {
 *   let all = ''
 *   for (const chunk of iterate(stream)) all += chunk
 *   return all
 * }
 * await spawn(() => text(Readable.from(['a', 'b', 'c']))) // 'abc'
 * ```
 *
 * @param source an async iterable, or an iterable of promises
 * @throws any error of the source
 * @throws TypeError `ERR_GREENLET_INVALID_ARG`
 */
export function iterate<T>(source: AsyncIterable<T> | Iterable<T | PromiseLike<T>>): Generator<T, void, undefined> {
  const ofAsync = (source as Partial<AsyncIterable<T>> | null | undefined)?.[Symbol.asyncIterator]
  const ofSync = (source as Partial<Iterable<T>> | null | undefined)?.[Symbol.iterator]
  if (typeof ofAsync === 'function') return iterateAsync(() => Reflect.apply(ofAsync, source, []))
  if (typeof ofSync === 'function') return iteratePromises(source as Iterable<T | PromiseLike<T>>)
  throw typeError(`iterate() takes an async iterable, such as a stream, not ${describe(source)}`)
}

function* iterateAsync<T>(open: () => AsyncIterator<T, unknown>): Generator<T, void, undefined> {
  refuseOnMain('iterate()')
  const iterator = open()
  // Where the source says that it has ended, or fails, it is not closed, as in `for await`.
  let left: 'in the loop' | 'while waiting' | undefined
  try {
    for (;;) {
      const answer = ask(iterator)
      left = 'while waiting'
      const step = wait(answer)
      left = undefined
      if ('error' in step) throw step.error
      if (step.result.done) return
      left = 'in the loop'
      yield step.result.value
      left = undefined
    }
  } finally {
    if (left !== undefined) close(iterator, left === 'in the loop')
  }
}

/** The answer, in an object, so that an error of the source is not taken for one that interrupts the wait. */
function ask<T>(iterator: AsyncIterator<T, unknown>): Promise<Step<T>> {
  return Promise.resolve(iterator.next()).then(
    (result) => {
      if (typeof result === 'object' && result !== null) return { result }
      const error = typeError(`next() of an async iterator gave ${describe(result)}; it must give { done, value }`)
      return { error }
    },
    (error: unknown) => ({ error }),
  )
}

function close(iterator: AsyncIterator<unknown>, block: boolean): void {
  const closing = iterator.return?.()
  if (closing === undefined) return
  if (block) wait(closing)
  else Promise.resolve(closing).catch(ignore)
}

/** The greenlet has another error, which is more important. */
function ignore(): void {}

function* iteratePromises<T>(source: Iterable<T | PromiseLike<T>>): Generator<T, void, undefined> {
  refuseOnMain('iterate()')
  for (const item of source) yield wait(item) as T
}
