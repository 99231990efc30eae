// ws: a listener that waits, with the messages of a socket in order: each one waits for the one before it. When the socket
// closes, what still waits is killed.

import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { type RawData, WebSocket, WebSocketServer } from 'ws'
import { type SpawnedGreenlet, spawn, wait } from '../../js/index.ts'

const price = (article: string): number => wait(setTimeout(article.length, article.length))

const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
server.on('connection', (socket) => {
  let last: SpawnedGreenlet<void> | undefined
  socket.on('message', (message: RawData) => {
    const before = last
    last = spawn(function answer() {
      before?.join()
      socket.send(`${String(message)} costs ${price(String(message))}`)
    })
    last.catch((error: unknown) => socket.close(1011, String(error)))
  })
  socket.on('close', () => last?.kill())
})
await once(server, 'listening')

const { port } = server.address() as { port: number }
const client = new WebSocket(`ws://127.0.0.1:${port}`)
await once(client, 'open')
const answers: string[] = []
const all = new Promise<void>((resolve) => {
  client.on('message', (answer) => answers.push(String(answer)) === 3 && resolve())
})
for (const article of ['strawberries', 'apple', 'fig']) client.send(article)
await all
console.log(answers.join('\n'))
client.close()
await once(client, 'close')
server.close()
