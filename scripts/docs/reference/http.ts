/**
 * The adapter for node:http, node:https and node:http2. [Servers](../../../docs/servers.md) shows it.
 *
 * @module greenlets/http
 */

export { bind, default, greenlets } from '../../../js/adapters/http.ts'
export { blocking } from '../../../js/hub/blocking.ts'
export type {
  Bind,
  CloseOptions,
  HttpOptions,
  Listener,
  ServerControl,
  ServerOptions,
  WithGreenlet,
} from '../../../js/adapters/http.ts'
