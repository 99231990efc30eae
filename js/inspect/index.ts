/**
 * `greenlets/inspect`: a live page of all greenlets, and recordings of their switches.
 *
 * ```js
 * import { serve } from 'greenlets/inspect'
 *
 * const { url } = await serve()
 * console.error(`greenlets: ${url}`)
 * ```
 */

export { type Recording, record, type RecordOptions } from './recorder.ts'
export {
  inspector,
  type InspectorOptions,
  type InspectorPage,
  serve,
  type Served,
  type ServeOptions,
} from './server.ts'
