/**
 * `greenlets/inspect`: a live page of all greenlets, recordings of their switches, and the variables of suspended ones.
 *
 * ```js
 * import { serve } from 'greenlets/inspect'
 *
 * const { url } = await serve()
 * console.error(`greenlets: ${url}`)
 * ```
 */

export { type FrameLocals, locals, type LocalsOptions, localsOf } from './locals.ts'
export type { Preview } from './preview.ts'
export { type Recording, record, type RecordOptions } from './recorder.ts'
export type { Scope, ScopeKind } from './scopes.ts'
export {
  inspector,
  type InspectorOptions,
  type InspectorPage,
  serve,
  type Served,
  type ServeOptions,
} from './server.ts'
