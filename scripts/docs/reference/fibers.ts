/**
 * The API of node-fibers. [From fibers](../../../docs/from-fibers.md) shows how a project switches over.
 *
 * @module greenlets/fibers
 */

export { default, Fiber, greenletOf } from '../../../js/fibers/index.ts'
export type { FiberConstructor, FiberInstance } from '../../../js/fibers/index.ts'
