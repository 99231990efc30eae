// Where C++ of Node holds one of its objects while it calls JavaScript, for what ends there: Node aborts where such an object
// outlives its thread.

import { createServer, connect } from 'node:http2'
import { duplexPair } from 'node:stream'

/** Suspended greenlets that nobody holds would be ended. */
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
    // What comes now would be for a session that is in the middle of something.
    client.emit = () => true
    kept.push(Greenlet.current)
    body()
  })
  request.end()
}
