/**
 * The adapter for h3, version 2. [Servers](../../../docs/servers.md#h3) shows it.
 *
 * @module greenlets/h3
 */

export { bind, default, greenlets } from '../../../js/adapters/h3.ts'
export { blocking } from '../../../js/hub/blocking.ts'
export type { Bind, CloseOptions, ServerControl, ServerOptions } from '../../../js/adapters/h3.ts'
