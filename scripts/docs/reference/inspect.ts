/**
 * A live page of all greenlets, and recordings of their switches. [Debugging](../../../docs/debugging.md) shows both.
 *
 * @module greenlets/inspect
 */

export { inspector, record, serve } from '../../../js/inspect/index.ts'
export type {
  InspectorOptions,
  InspectorPage,
  Recording,
  RecordOptions,
  Served,
  ServeOptions,
} from '../../../js/inspect/index.ts'
