/**
 * `greenlets/inspect`: looks into suspended greenlets.
 *
 * ```js
 * import { locals } from 'greenlets/inspect'
 *
 * console.log(locals(gr.gr_frame))
 * ```
 */

export { type FrameLocals, locals, type LocalsOptions, localsOf } from './locals.ts'
export type { Preview } from './preview.ts'
export type { Scope, ScopeKind } from './scopes.ts'
