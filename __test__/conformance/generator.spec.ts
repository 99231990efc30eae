// Short generators made of greenlets, which yield from one function.

import { Greenlet } from '../../js/index.ts'
import { leakcheck } from '../helpers/leakcheck.ts'

class Genlet<T> extends Greenlet implements Iterable<T> {
  [Symbol.iterator](): Iterator<T> {
    return { next: () => this.next() }
  }
  next(): IteratorResult<T> {
    this.parent = Greenlet.current
    const value = this.switch<T>()
    return this.dead ? { done: true, value: undefined } : { done: false, value }
  }
}

function yields(value: unknown): void {
  let g: Greenlet | null = Greenlet.current
  while (!(g instanceof Genlet)) {
    if (g === null) throw new Error('yield outside a genlet')
    g = g.parent
  }
  g.parent!.switch(value)
}

leakcheck('34 generator: a generator is a greenlet that switches to its parent', (t) => {
  const seen: number[] = []
  const g = (n: number): Genlet<number> =>
    new Genlet(() => {
      for (let i = 0; i < n; i++) {
        seen.push(i)
        yields(i)
      }
    })
  for (let times = 0; times < 3; times++) for (const j of g(5)) seen.push(j)
  const once = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
  t.deepEqual(seen, [...once, ...once, ...once])
})
