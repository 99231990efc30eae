/**
 * The adapter for Koa. [Servers](../../../docs/servers.md#koa) shows it.
 *
 * @module greenlets/koa
 */

export { bind, default, greenlets } from '../../../js/adapters/koa.ts'
export { blocking } from '../../../js/hub/blocking.ts'
export type { Bind, CloseOptions, ServerControl, ServerOptions } from '../../../js/adapters/koa.ts'
