/**
 * The adapter for Fastify 5. [Servers](../../../docs/servers.md#fastify) shows it.
 *
 * @module greenlets/fastify
 */

export { bind, default, greenlets } from '../../../js/adapters/fastify.ts'
export { blocking } from '../../../js/hub/blocking.ts'
export type { Bind, CloseOptions, ServerControl, ServerOptions } from '../../../js/adapters/fastify.ts'
