// Reads the async context of the running code.

import {
  AsyncResource,
  executionAsyncId,
  executionAsyncResource,
  triggerAsyncId,
  type AsyncLocalStorage,
} from 'node:async_hooks'
import { Greenlet } from '../../js/index.ts'
import { haveSameItems } from './identity.ts'

/** The current ids, resource and stores. Compare two results with `haveSameItems`. */
export function surroundings(...stores: AsyncLocalStorage<unknown>[]): readonly unknown[] {
  return [
    executionAsyncId(),
    triggerAsyncId(),
    executionAsyncResource(),
    ...stores.map((storage) => storage.getStore()),
  ]
}

/** Calls `fn` inside `depth` nested scopes, each with a resource of its own. */
export function nested<T>(depth: number, fn: () => T): T {
  return depth === 0 ? fn() : new AsyncResource('NESTED').runInAsyncScope(() => nested(depth - 1, fn))
}

/** Switches to main, and throws if the surroundings have changed when it returns. */
export function away(value?: unknown, ...stores: AsyncLocalStorage<unknown>[]): unknown {
  const before = surroundings(...stores)
  const brought = Greenlet.main.switch(value)
  if (!haveSameItems(before, surroundings(...stores))) throw new Error('the surroundings have changed over a switch')
  return brought
}
