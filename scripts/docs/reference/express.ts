/**
 * The adapter for Express 5 and 4. [Servers](../../../docs/servers.md#express) shows it.
 *
 * @module greenlets/express
 */

export { bind, default, greenlets } from '../../../js/adapters/express.ts'
export { blocking } from '../../../js/hub/blocking.ts'
export type { Bind, CloseOptions, Middleware, ServerControl, ServerOptions } from '../../../js/adapters/express.ts'
