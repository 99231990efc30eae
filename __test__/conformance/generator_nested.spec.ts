// Generators made of greenlets ("genlets") that can yield from any depth, also to the genlet that iterates over them.

import { Greenlet } from '../../js/index.ts'
import { leakcheck } from '../helpers/leakcheck.ts'

class Genlet<T> extends Greenlet implements Iterable<T> {
  child: Genlet<unknown> | null = null;

  [Symbol.iterator](): Iterator<T> {
    return { next: () => this.next() }
  }

  next(): IteratorResult<T> {
    let value: T
    if (this.child !== null) {
      let child: Genlet<unknown> = this.child
      while (child.child !== null) [child, child.child] = [child.child, null]
      value = child.switch<T>()
    } else {
      this.parent = Greenlet.current
      value = this.switch<T>()
    }
    return this.dead ? { done: true, value: undefined } : { done: false, value }
  }
}

/** Gives `value` to the code that iterates over the genlet `level` levels further out. */
function yields(value: unknown, level = 1): unknown {
  let g: Greenlet = Greenlet.current
  for (; level !== 0; level--) {
    if (!(g instanceof Genlet)) throw new Error('yield outside a genlet')
    if (level > 1) (g.parent as Genlet<unknown>).child = g
    g = g.parent!
  }
  return g.switch(value)
}

const genlet =
  <Args extends unknown[], T>(fn: (...args: Args) => void) =>
  (...args: Args): Genlet<T> =>
    new Genlet(() => fn(...args))

leakcheck('35 layered_genlets: a genlet yields for the genlet below it', (t) => {
  const gr1 = genlet((n: number) => {
    for (let i = 1; i < n; i++) {
      yields(i)
      yields(i * i, 2)
    }
  })
  const gr2 = genlet((n: number, seen: unknown[]) => {
    for (const i of gr1(n)) seen.push(i)
  })
  const seen: unknown[] = []
  for (const i of gr2(5, seen)) seen.push(i)
  t.deepEqual(seen, [1, 1, 2, 4, 3, 9, 4, 16])
})

leakcheck('36 permutations: genlets can be nested to any depth, and two of them can run side by side', (t) => {
  const perms = genlet<[number[]], number[]>((list) => {
    if (list.length <= 1) {
      yields(list)
      return
    }
    for (const first of list) {
      const rest = perms(list.filter((x) => x !== first))
      t.true(Array.from(rest, (p) => yields([first, ...p])).length > 0)
    }
  })
  const permutations = [...perms([0, 1, 2, 3])]
  t.is(permutations.length, 4 * 3 * 2 * 1)
  t.is(new Set(permutations.map(String)).size, 24)
  t.deepEqual(permutations[0], [0, 1, 2, 3])
  t.deepEqual(permutations.at(-1), [3, 2, 1, 0])

  const fours = perms([0, 1, 2, 3])
  const pairs = Array.from(perms([0, 1, 2]), (three) => [fours.next().value, three])
  t.deepEqual(pairs, [
    [
      [0, 1, 2, 3],
      [0, 1, 2],
    ],
    [
      [0, 1, 3, 2],
      [0, 2, 1],
    ],
    [
      [0, 2, 1, 3],
      [1, 0, 2],
    ],
    [
      [0, 2, 3, 1],
      [1, 2, 0],
    ],
    [
      [0, 3, 1, 2],
      [2, 0, 1],
    ],
    [
      [0, 3, 2, 1],
      [2, 1, 0],
    ],
  ])
  // The longer genlet is suspended, and so are those that it iterates over: each is the parent of the next.
  for (const g of Greenlet.all().toReversed()) if (g !== Greenlet.main) g.kill()
})

leakcheck('37 genlet_simple: a native generator, a genlet and a nested genlet yield the same values', (t) => {
  const g1 = function* (n: number, seen: number[]): Generator<number> {
    for (let i = 0; i < n; i++) {
      seen.push(i + 1)
      yield i
    }
  }
  const g2 = genlet<[number, number[]], number>((n, seen) => {
    for (let i = 0; i < n; i++) {
      seen.push(i + 1)
      yields(i)
    }
  })
  const nested = (i: number): unknown => yields(i)
  const g3 = genlet<[number, number[]], number>((n, seen) => {
    for (let i = 0; i < n; i++) {
      seen.push(i + 1)
      nested(i)
    }
  })
  const once = [1, 0, 2, 1, 3, 2, 4, 3, 5, 4]
  for (const g of [g1, g2, g3]) {
    const seen: number[] = []
    for (let times = 0; times < 3; times++) for (const j of g(5, seen)) seen.push(j)
    t.deepEqual(seen, [...once, ...once, ...once])
  }
})

leakcheck('38 genlet_bad: yielding outside of a genlet throws', (t) => {
  t.throws(() => yields(10), { message: 'yield outside a genlet' })
})

leakcheck('39 nested_genlets: a genlet iterates over a smaller copy of itself', (t) => {
  const ax = genlet<[number], number>((n) => {
    if (n === 0) return
    for (const i of ax(n - 1)) yields(i)
    yields(n)
  })
  t.deepEqual([...ax(5)], [1, 2, 3, 4, 5])
})
