/**
 * Looks into suspended greenlets. [Locals](../../../docs/locals.md) shows it.
 *
 * @module greenlets/inspect
 */

export { locals, localsOf } from '../../../js/inspect/index.ts'
export type { FrameLocals, LocalsOptions, Preview, Scope, ScopeKind } from '../../../js/inspect/index.ts'
