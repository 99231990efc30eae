// Runs code while C++ of Node holds one of its objects and calls JavaScript. Tests end a thread there: Node aborts if such an
// object outlives its thread.

import { createServer, connect } from 'node:http2'
import { duplexPair } from 'node:stream'

/** Keeps suspended greenlets reachable. Unreachable ones would be ended. */
const kept = []

/** Calls `body` once, from C++ that holds an HTTP/2 session, in a greenlet of its own. */
export function inSession(Greenlet, body) {
  const server = createServer((request, response) => response.end('text'))
  const [client, peer] = duplexPair()
  server.emit('connection', peer)
  const { emit } = client
  client.emit = function (...args) {
    return new Greenlet(() => Reflect.apply(emit, this, args)).switch()
  }
  const request = connect('http://localhost', { createConnection: () => client }).request()
  request.once('data', () => {
    // Later events must not reach the session, which is in the middle of a call.
    client.emit = () => true
    kept.push(Greenlet.current)
    body()
  })
  request.end()
}
