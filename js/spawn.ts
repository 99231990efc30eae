/**
 * Greenlets that the event loop starts, and that can be awaited: the way in from code that is not in a greenlet.
 */

import { describe, nameOf, typeError } from './check.ts'
import { Greenlet, innerOf } from './greenlet.ts'
import { wait } from './hub.ts'
import { type Inner, UNSTARTED } from './inner.ts'
import { here, succumb } from './life.ts'

/** A greenlet that is also a thenable: `await` gives the result of its function, or throws what that threw. */
export class SpawnedGreenlet<T> extends Greenlet implements PromiseLike<T> {
  readonly #result: Promise<T>

  constructor(fn: (...args: never[]) => unknown, args: unknown[]) {
    super(runOf(fn, args), { parent: Greenlet.main })
    const inner = innerOf(this)
    inner.label = nameOf(fn)
    this.#result = resultOf(inner)
  }

  // oxlint-disable-next-line no-thenable -- being one is what it is for
  then<A = T, B = never>(
    onResult?: ((result: T) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    // Finds out about greenlets that V8 has ended.
    here()
    return this.#result.then(onResult, onError)
  }

  /** Blocks the greenlet that calls it until this one has ended: `wait(greenlet)`, and throws what that throws. */
  join(): Awaited<T> {
    return wait<PromiseLike<T>>(this)
  }
}

/**
 * Calls `fn` in a new greenlet, soon: the event loop starts it after what is running now. The greenlet's parent is main.
 *
 * The greenlet can be awaited. Its result goes there and not to its parent; so does an error, which is reported as an
 * unhandled rejection if nobody asks. A `GreenletExit` ends it quietly, and is the result.
 */
export function spawn<Args extends unknown[], T>(fn: (...args: Args) => T, ...args: Args): SpawnedGreenlet<Awaited<T>> {
  if (typeof fn !== 'function') throw typeError(`spawn() takes a function, not ${describe(fn)}`)
  const greenlet = new SpawnedGreenlet<Awaited<T>>(fn, args)
  setImmediate(startSpawned, greenlet)
  return greenlet
}

/** A promise of what `inner` comes to. Apart, for the Inner outlives its object and must not hold it. */
function resultOf<T>(inner: Inner): Promise<T> {
  return new Promise((resolve, reject) => {
    inner.settle = (threw, value) => {
      if (threw) reject(value)
      else resolve(value as T)
    }
  })
}

function runOf(fn: (...args: never[]) => unknown, args: unknown[]): () => unknown {
  return function runSpawned() {
    return Reflect.apply(fn, undefined, args)
  }
}

function startSpawned(greenlet: Greenlet): void {
  const inner = innerOf(greenlet)
  // It may have been switched to or killed meanwhile.
  if (inner.life !== UNSTARTED) return
  try {
    greenlet.switch()
  } catch (error) {
    // There may be no stack for it. Then that is what it came to.
    if ((inner.life as number) !== UNSTARTED) throw error
    succumb(inner, error)
  }
}
