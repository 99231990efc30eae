/**
 * The adapter for node:http, node:https and node:http2. [Servers](../../../docs/servers.md#nodehttp) shows it.
 *
 * @module greenlets/http
 */

export { bind, blocking, default, greenlets } from '../../../js/adapters/http.ts'
export type {
  Bind,
  CloseOptions,
  HttpOptions,
  Listener,
  ServerControl,
  ServerOptions,
  WithGreenlet,
} from '../../../js/adapters/http.ts'
