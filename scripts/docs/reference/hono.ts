/**
 * The adapter for Hono 4. [Servers](../../../docs/servers.md#hono) shows it.
 *
 * @module greenlets/hono
 */

export { bind, default, greenlets } from '../../../js/adapters/hono.ts'
export { blocking } from '../../../js/hub/blocking.ts'
export type { Bind, CloseOptions, ServerControl, ServerOptions } from '../../../js/adapters/hono.ts'
