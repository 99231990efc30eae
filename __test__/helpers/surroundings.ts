// What async context the running code is in.

import {
  AsyncResource,
  executionAsyncId,
  executionAsyncResource,
  triggerAsyncId,
  type AsyncLocalStorage,
} from 'node:async_hooks'
import { Greenlet } from '../../js/index.ts'

/** Ids, resource and stores as they are here; compare two with `sameAs`. */
export function surroundings(...stores: AsyncLocalStorage<unknown>[]): readonly unknown[] {
  return [
    executionAsyncId(),
    triggerAsyncId(),
    executionAsyncResource(),
    ...stores.map((storage) => storage.getStore()),
  ]
}

export function sameAs(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((value, i) => Object.is(value, b[i]))
}

/** Calls `fn` inside `depth` scopes of resources of their own. */
export function nested<T>(depth: number, fn: () => T): T {
  return depth === 0 ? fn() : new AsyncResource('NESTED').runInAsyncScope(() => nested(depth - 1, fn))
}

/** Switches to main, and throws if the surroundings are others when it comes back. */
export function away(value?: unknown, ...stores: AsyncLocalStorage<unknown>[]): unknown {
  const before = surroundings(...stores)
  const brought = Greenlet.main.switch(value)
  if (!sameAs(before, surroundings(...stores))) throw new Error('the surroundings have changed over a switch')
  return brought
}
