// greenlet's test_generator.py and test_generator_nested.py: generators without `yield`.

import test from 'ava'
import { Greenlet } from '../js/index.ts'

/** A generator whose function calls `give` with its values, at any depth. */
class Genlet<T> extends Greenlet {
  readonly #body: () => void
  /** The inner genlet that gave a value past this one. It has to be resumed in place of this one. */
  #giver: Genlet<unknown> | undefined

  constructor(body: () => void) {
    super()
    this.#body = body
  }

  override run(): IteratorResult<T> {
    this.#body()
    return { done: true, value: undefined }
  }

  next(): IteratorResult<T> {
    if (this.dead) return { done: true, value: undefined }
    const giver = this.#giver
    this.#giver = undefined
    if (giver !== undefined) return giver.next() as IteratorResult<T>
    return this.switch<IteratorResult<T>>()
  }

  /** Gives `value` to the code that iterates over the genlet `level` levels further out. */
  give(value: unknown, level: number): void {
    const { parent } = this
    if (level === 1) parent!.switch({ done: false, value })
    else if (!(parent instanceof Genlet)) throw new Error('give() past the outermost genlet')
    else {
      parent.#giver = this
      parent.give(value, level - 1)
    }
  }

  [Symbol.iterator](): Iterator<T> {
    return { next: () => this.next() }
  }
}

function give(value: unknown, level = 1): void {
  const { current } = Greenlet
  if (!(current instanceof Genlet)) throw new Error('give() outside of a genlet')
  current.give(value, level)
}

function numbers(n: number): Genlet<number> {
  return new Genlet<number>(() => {
    const each = (i: number): void => {
      if (i === n) return
      give(i)
      each(i + 1)
    }
    each(0)
  })
}

test('a genlet is a generator', (t) => {
  for (let round = 0; round < 3; round++) {
    const seen: number[] = []
    for (const x of numbers(5)) for (const y of [x, x]) seen.push(y)
    t.deepEqual(seen, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
  }
})

test('genlets nest, and an inner genlet can give values to the code that iterates over the outer one', (t) => {
  const outer = new Genlet<number>(() => {
    const inner = new Genlet<number>(() => {
      for (let i = 1; i < 5; i++) {
        give(i)
        give(i * i, 2)
      }
    })
    for (const x of inner) give(x)
  })
  t.deepEqual([...outer], [1, 1, 2, 4, 3, 9, 4, 16])
})

function permutations<T>(items: readonly T[]): Genlet<T[]> {
  return new Genlet<T[]>(() => {
    if (items.length === 0) give([])
    for (const [i, item] of items.entries()) {
      for (const rest of permutations(items.toSpliced(i, 1))) give([item, ...rest])
    }
  })
}

test('two recursive genlets run at the same time', (t) => {
  const [a, b] = [permutations([1, 2, 3, 4]), permutations([1, 2, 3, 4])]
  const seen = new Set<string>()
  for (;;) {
    const [one, other] = [a.next(), b.next()]
    t.deepEqual(one, other)
    if (one.done) break
    seen.add(one.value.join(''))
  }
  t.is(seen.size, 24)
})

test('give() outside of a genlet throws', (t) => {
  t.throws(() => give(1), { message: 'give() outside of a genlet' })
})
