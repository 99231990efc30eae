/**
 * A live page of all greenlets, recordings of their switches, and the variables of suspended ones. [Inspecting](../../../docs/inspecting.md)
 * shows the first two, [Locals](../../../docs/locals.md) the last.
 *
 * @module greenlets/inspect
 */

export { inspector, locals, localsOf, record, serve } from '../../../js/inspect/index.ts'
export type {
  FrameLocals,
  InspectorOptions,
  InspectorPage,
  LocalsOptions,
  Preview,
  Recording,
  RecordOptions,
  Scope,
  ScopeKind,
  Served,
  ServeOptions,
} from '../../../js/inspect/index.ts'
