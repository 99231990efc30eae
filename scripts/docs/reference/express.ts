/**
 * The adapter for Express 5. [Servers](../../../docs/servers.md#express-5) shows it.
 *
 * @module greenlets/express
 */

export { greenlets } from '../../../js/adapters/express.ts'
export type { Middleware } from '../../../js/adapters/express.ts'
