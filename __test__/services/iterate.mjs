// Makes an async iterable one that plain code can read with `for...of`.

import { wait } from '../../dist/index.js'

export function* iterate(iterable) {
  const iterator = iterable[Symbol.asyncIterator]()
  let done = false
  try {
    for (;;) {
      const next = wait(iterator.next())
      done = next.done
      if (done) return next.value
      yield next.value
    }
  } finally {
    // Not waited for: the greenlet may be ending.
    if (!done) void iterator.return?.()
  }
}
