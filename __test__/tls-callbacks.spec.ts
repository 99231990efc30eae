// Callbacks of a TLS handshake that run on the stack of a greenlet, because the greenlet gives data to a socket made in JavaScript below
// the TLS socket. OpenSSL is in the middle of its work then: leaving the greenlet there was a crash. Each program runs in its own process.

import test from 'ava'
import { printed, runProgram } from './helpers/program.ts'

const FIRST_GREENLET = 'new Greenlet(() => {}).switch()'

/**
 * A macro: the handshake ends although the callback tries to leave its greenlet. `node:tls` is loaded before the first greenlet, and
 * after it.
 */
const isHeld = test.macro(async (t, callback: string) => {
  for (const load of [
    `const tls = await import('node:tls'); ${FIRST_GREENLET}`,
    `${FIRST_GREENLET}; const tls = await import('node:tls')`,
  ]) {
    const ending = await runProgram(`${load}\nconst CALLBACK = '${callback}'\n${PROGRAM}`, {
      flags: ['--expose-gc', '--pending-deprecation'],
      before: `process.on('warning', (warning) => console.log(warning.name, warning.message))`,
    })
    t.deepEqual(ending, printed(`${FORBIDDEN}\ntrue true\nhello\n`), load)
  }
})

const FORBIDDEN =
  "ERR_GREENLET_FORBIDDEN greenlet 'main' cannot be switched to from here, inside of a callback of a TLS handshake; switch after that has " +
  'returned'

// With a shared key, because that needs no certificates.
const PROGRAM = `
const { Duplex } = await import('node:stream')
const turns = async () => { for (let i = 0; i < 4; i++) { await new Promise((r) => setTimeout(r, 3)); gc() } }
class Side extends Duplex { queue = []; _read() {} _write(data, encoding, done) { this.queue.push(data); done() } }
let left = false
const leave = (callback) => {
  if (callback !== CALLBACK || Greenlet.current === main || left) return
  left = true
  try { main.switch() } catch (error) { console.log(error.code, error.message) }
}
const [below, above] = [new Side(), new Side()]
const options = { ciphers: 'PSK', minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }
const psk = Buffer.from('abcdef')
const server = new tls.TLSSocket(below, { ...options, isServer: true, pskCallback: () => { leave('pskCallback of a server'); return psk } })
const client = tls.connect({ ...options, socket: above, checkServerIdentity: () => undefined,
  pskCallback: () => { leave('pskCallback of a client'); return { psk, identity: 'me' } } })
server.on('secure', () => leave('secure'))
client.on('secureConnect', () => leave('secureConnect')).on('session', () => leave('session')).on('keylog', () => leave('keylog'))
const pump = () => {
  while (below.queue.length + above.queue.length > 0) {
    for (const data of above.queue.splice(0)) below.push(data)
    for (const data of below.queue.splice(0)) above.push(data)
  }
}
for (let i = 0; i < 6; i++) { await turns(); new Greenlet(pump).switch() }
console.log(left, client.getCipher() !== undefined)
// Data is no part of the handshake: a greenlet may wait in its handler.
client.on('data', (data) => { main.switch(); console.log(String(data)) })
await turns()
server.write('hello')
await turns()
const g = new Greenlet(pump)
g.switch()
await turns()
g.switch()
process.exit()
`

for (const callback of [
  'pskCallback of a server',
  'pskCallback of a client',
  'secure',
  'secureConnect',
  'session',
  'keylog',
]) {
  test(`a greenlet is not left in ${callback}`, isHeld, callback)
}

test('a greenlet that waits for data of a TLS socket may find it destroyed', async (t) => {
  const ending = await runProgram(
    `const tls = await import('node:tls'); ${FIRST_GREENLET}; const CALLBACK = ''
    ${PROGRAM.replace('await turns()\ng.switch()', 'client.destroy(); server.destroy(); await turns(); g.switch()')}`,
    { flags: ['--expose-gc'] },
  )
  t.deepEqual(ending, printed('false true\nhello\n'))
})
