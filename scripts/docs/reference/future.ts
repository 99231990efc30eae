/**
 * The futures of node-fibers. [From fibers](../../../docs/from-fibers.md) shows what comes after them.
 *
 * @module greenlets/fibers/future
 */

export { default, Future } from '../../../js/fibers/future.ts'
export type {
  Callback,
  FutureConstructor,
  FutureInstance,
  WrappedFunction,
  WrappedObject,
} from '../../../js/fibers/future.ts'
