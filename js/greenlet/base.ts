/**
 * The base class of `Greenlet`, which makes its object.
 */

import workerThreads from 'node:worker_threads'

/** Node 22.10 and newer. */
export const { markAsUncloneable } = workerThreads as { markAsUncloneable?: (value: object) => void }
/** What greenlets refer to weakly where their base class is WeakRef. Not used. */
const TARGET = {}

/**
 * Makes the object of a greenlet, or returns `target`, which then gets the private fields. Before Node 22.10 the object is
 * one that V8 refuses to clone: the smallest of those that can be a base class. Its methods are removed in greenlet.ts.
 */
export const Base: new (target: object | undefined) => object =
  markAsUncloneable === undefined
    ? class extends WeakRef<object> {
        constructor(target: object | undefined) {
          if (target !== undefined) return target as never
          super(TARGET)
        }
      }
    : class {
        constructor(target: object | undefined) {
          if (target !== undefined) return target
        }
      }
