/**
 * A backdoor: a REPL on a socket, in which `wait()` works and all greenlets of the running program can be seen. Each line runs in a
 * greenlet of its own. Only for the loopback interface, because it runs what it gets.
 */

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { start } from 'node:repl'
import { runInContext } from 'node:vm'
import { Greenlet, sleep, spawn, wait } from '../../js/index.ts'

const server = createServer(function openRepl(socket: Socket) {
  const repl = start({
    input: socket,
    output: socket,
    prompt: '> ',
    eval(line, context, _, callback) {
      spawn(function evaluate() {
        let value: unknown
        try {
          value = runInContext(line, context)
        } catch (error) {
          return callback(error as Error, undefined)
        }
        callback(null, value)
      })
    },
  })
  Object.assign(repl.context, { Greenlet, wait, sleep })
  repl.on('exit', () => socket.end())
}).listen(0, '127.0.0.1')
await once(server, 'listening')

// The program: a greenlet that waits for something that does not come.
const stuck = spawn(function importFile() {
  wait(new Promise(() => {}))
})
stuck.name = 'import'

// What a user types: `nc 127.0.0.1 <port>`.
const client = connect((server.address() as AddressInfo).port, '127.0.0.1').setEncoding('utf8')
let screen = ''
client.on('data', (text) => (screen += text))
const lines = [
  'wait(Promise.resolve(6)) * 7',
  'Greenlet.all().find((g) => g.name === "import").gr_frame.functionName',
  'wait(Promise.reject(new RangeError("no")))',
  '.exit',
]
for (const line of lines) {
  while (!screen.endsWith('> ')) await once(client, 'data')
  screen += '\n'
  client.write(`${line}\n`)
}
await once(client, 'close')
server.close()

console.log(/^42$/m.test(screen), /^'importFile'$/m.test(screen), /RangeError: no/.test(screen))
