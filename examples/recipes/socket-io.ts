// socket.io: listeners that wait, also those that answer by a callback. `blocking` gives a promise, and nothing awaits what a
// listener returns, so errors are caught inside.

import { once } from 'node:events'
import { createServer } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import { Server } from 'socket.io'
import { io } from 'socket.io-client'
import { blocking, wait } from '../../js/index.ts'

const price = (article: string): number => {
  if (article === '') throw new RangeError('no article')
  return wait(setTimeout(5, article.length))
}

const http = createServer()
const server = new Server(http)
server.on('connection', (socket) => {
  socket.on(
    'total',
    blocking((articles: string[], answer: (result: number | string) => void) => {
      try {
        answer(articles.reduce((sum, article) => sum + price(article), 0))
      } catch (error) {
        answer((error as Error).message)
      }
    }),
  )
})
http.listen(0, '127.0.0.1')
await once(http, 'listening')

const { port } = http.address() as { port: number }
const client = io(`http://127.0.0.1:${port}`, { transports: ['websocket'] })
const totals = [['apple', 'pear'], ['plum'], ['']].map((articles) => client.emitWithAck('total', articles))
console.log(await Promise.all(totals))
client.close()
await server.close()
