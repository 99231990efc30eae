// A request comes after close(), and the program does not handle its error.

import { createServer, get } from 'node:http'
const { greenlets } = await import('../../js/adapters/http.ts')

const listener = greenlets(() => {}, {
  onError(error) {
    setImmediate(() => {
      throw error
    })
  },
})
await listener.close()
const server = createServer(listener).listen(0, '127.0.0.1', () => {
  get({ host: '127.0.0.1', port: server.address().port })
})
