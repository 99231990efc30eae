/**
 * Holds greenlets in the callbacks of a TLS handshake. OpenSSL calls them in the middle of its work on a connection, and
 * neither the event loop may free the connection nor another stack may use it before they return. They run on the stack of a
 * greenlet only where the greenlet gives data to a socket made in JavaScript that is below the TLS socket.
 */

import { callHeld } from './held.ts'
import { isLoaded, whenAssigned } from './loaded-later.ts'
import { type Method, type Methods, replace } from './replace.ts'

/** A `TLSSocket`, as far as this file needs it. */
interface TlsSocket {
  /** The object of C++. Its own functions are the callbacks. */
  readonly _handle: Record<string | symbol, unknown> | null
}

/** Replaces the method that sets the callbacks of a TLS socket, now or when `node:tls` is loaded. */
export function patchTlsCallbacks(): void {
  if (isLoaded('tls')) {
    const { TLSSocket } = process.getBuiltinModule('node:tls') as unknown as { TLSSocket: { prototype: Methods } }
    replace(TLSSocket.prototype, '_init', holdCallbacks)
    return
  }
  whenAssigned(
    '_wrapHandle',
    () => true,
    (prototype) => {
      // The module assigns this method next.
      Object.defineProperty(prototype, '_init', {
        configurable: true,
        enumerable: true,
        get: () => undefined,
        set(value: Method) {
          const descriptor = { configurable: true, enumerable: true, writable: true, value }
          Object.defineProperty(prototype, '_init', descriptor)
          replace(prototype as Methods, '_init', holdCallbacks)
        },
      })
    },
  )
}

/** Makes the wrapper of `_init`. */
function holdCallbacks(init: Method): Method {
  return function (...args) {
    const result = Reflect.apply(init, this, args)
    const { _handle: handle } = this as TlsSocket
    if (handle !== null) {
      const keys = Reflect.ownKeys(handle)
      for (let i = 0; i < keys.length; i++) {
        const callback = handle[keys[i]!]
        if (typeof callback === 'function') handle[keys[i]!] = hold(callback as Method)
      }
    }
    return result
  }
}

function hold(callback: Method): Method {
  return function (...args) {
    return callHeld('a callback of a TLS handshake', () => Reflect.apply(callback, this, args))
  }
}
