// Compares objects by identity. `t.deepEqual` takes any two greenlets for equal, and any two frames, as their state is private.

import { inspect } from 'node:util'
import type { ExecutionContext } from 'ava'

export function haveSameItems(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((item, i) => Object.is(item, b[i]))
}

/** Asserts that both lists have the same objects in the same order. */
export function sameItems(t: ExecutionContext, actual: readonly unknown[], expected: readonly unknown[]): void {
  t.true(haveSameItems(actual, expected), `${inspect(actual)} instead of ${inspect(expected)}`)
}
