// WebSockets (ws) in greenlets: one greenlet for each socket reads its messages from a queue, and is killed when the socket closes.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { WebSocket as Client, WebSocketServer } from 'ws'
import { sleep, spawn, wait } from '../../dist/index.js'

/** The messages of a socket, for plain code. */
class Inbox {
  #texts = []
  #arrived
  constructor(socket) {
    socket.on('message', (data) => {
      this.#texts.push(String(data))
      this.#arrived?.()
    })
  }
  next() {
    while (this.#texts.length === 0) wait(new Promise((resolve) => (this.#arrived = resolve)))
    return this.#texts.shift()
  }
}

const ended = []
const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
server.on('connection', (socket) => {
  const inbox = new Inbox(socket)
  const g = spawn(function session() {
    const name = inbox.next()
    try {
      for (let i = 0; ; i++) {
        const text = inbox.next()
        sleep(1)
        socket.send(`${name} ${i} ${text}`)
      }
    } finally {
      ended.push(name)
    }
  })
  g.catch?.(() => {})
  socket.on('close', () => g.kill())
})
await once(server, 'listening')
const url = `ws://127.0.0.1:${server.address().port}`

function talk(client, messages) {
  const socket = new Client(url)
  const inbox = new Inbox(socket)
  wait(once(socket, 'open'))
  socket.send(`client ${client}`)
  const answers = Array.from({ length: messages }, (_, i) => {
    socket.send(`message ${i}`)
    return inbox.next()
  })
  socket.close()
  return answers
}

const all = await Promise.all(Array.from({ length: 20 }, (_, client) => spawn(talk, client, 10)))
for (const [client, answers] of all.entries()) {
  assert.deepEqual(
    answers,
    answers.map((_, i) => `client ${client} ${i} message ${i}`),
  )
}
while (ended.length < 20) await new Promise((resolve) => setTimeout(resolve, 5))
assert.equal(new Set(ended).size, 20)

// Node's own client, from Node 22 on.
if (typeof WebSocket === 'function') {
  const answer = await spawn(() => {
    const socket = new WebSocket(url)
    const event = (name) => wait(new Promise((resolve) => socket.addEventListener(name, resolve, { once: true })))
    event('open')
    socket.send('built-in')
    socket.send('hello')
    const { data } = event('message')
    socket.close()
    return data
  })
  assert.equal(answer, 'built-in 0 hello')
}
server.close()
console.log('ok')
