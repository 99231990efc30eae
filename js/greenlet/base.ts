/**
 * The base class of `Greenlet`, which makes its object.
 */

import * as workerThreads from 'node:worker_threads'

/** Node 22.10 and newer. */
export const { markAsUncloneable } = workerThreads as { markAsUncloneable?: (value: object) => void }
/**
 * Makes the object of a greenlet, or returns `target`, which then gets the private fields. Before Node 22.10 the object is
 * one that V8 refuses to clone. Its methods are removed below.
 */
export const Base: new (target: object | undefined) => object =
  markAsUncloneable === undefined
    ? class extends WeakSet {
        constructor(target: object | undefined) {
          if (target !== undefined) return target as never
          super()
        }
      }
    : class {
        constructor(target: object | undefined) {
          if (target !== undefined) return target
        }
      }
