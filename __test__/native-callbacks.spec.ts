// Calls of Node.js in which C++ calls JavaScript, and which need no protection: what C++ uses after that is on the stack, is kept alive by
// it, or is checked again. 20 greenlets are suspended in each, main closes what there is to close, and then they go on.

import test from 'ava'
import { makePrints } from './helpers/prints.ts'

const HEAD = `
  const fs = await import('node:fs')
  const v8 = await import('node:v8')
  const vm = await import('node:vm')
  const os = await import('node:os')
  const path = await import('node:path')
  const leave = () => { if (Greenlet.current !== main) main.switch() }
  const check = async (make) => {
    const close = []
    const all = Array.from({ length: 20 }, () => { const g = new Greenlet(make(close)); g.switch(); return g })
    const suspended = all.filter((g) => !g.dead).length
    for (const each of close) each()
    for (let i = 0; i < 5; i++) { await new Promise((r) => setTimeout(r, 3)); gc() }
    for (const g of all) while (!g.dead) g.switch()
    console.log(suspended)
    process.exit()
  }
`

/** A macro: the program ends without an error and prints this. */
const prints = makePrints({ head: HEAD, flags: ['--expose-gc'] })

for (const [what, source] of Object.entries({
  'the filter of fs.cpSync()': `
    const home = fs.mkdtempSync(path.join(os.tmpdir(), 'greenlets-'))
    process.on('exit', () => fs.rmSync(home, { recursive: true, force: true }))
    fs.mkdirSync(home + '/from/a', { recursive: true })
    let count = 0
    await check((close) => {
      const to = home + '/' + count++
      close.push(() => fs.rmSync(to, { recursive: true, force: true }))
      return () => fs.cpSync(home + '/from', to, { recursive: true, filter: () => { leave(); return true } })
    })`,
  'a serializer of node:v8': `
    class Serializer extends v8.DefaultSerializer { _writeHostObject(o) { leave(); return super._writeHostObject(o) } }
    await check(() => () => {
      const s = new Serializer()
      s.writeHeader(); s.writeValue({ a: Buffer.from('x'), get b() { leave(); return 1 } }); s.releaseBuffer()
    })`,
  'a deserializer of node:v8': `
    class Deserializer extends v8.DefaultDeserializer { _readHostObject() { leave(); return super._readHostObject() } }
    const data = v8.serialize({ a: Buffer.from('x') })
    await check(() => () => { const d = new Deserializer(data); d.readHeader(); d.readValue() })`,
  'a script in a vm context': `await check(() => () => vm.runInContext('leave(); 1', vm.createContext({ leave })))`,
  'a trap of a vm context': `
    await check(() => () => vm.runInContext('x', vm.createContext(new Proxy({}, {
      get(target, key) { if (key === 'x') leave(); return target[key] }, has: () => true,
    }))))`,
  'structuredClone()': `await check(() => () => structuredClone({ get x() { leave(); return 1 } }))`,
})) {
  test(`greenlets may be left in ${what}`, prints, source, '20\n')
}

for (const event of ['ping', 'remoteSettings', 'data', 'write']) {
  test(
    `the HTTP/2 session is destroyed while a greenlet is suspended in '${event}'`,
    prints,
    `
    const http2 = await import('node:http2')
    const { Duplex } = await import('node:stream')
    const turns = async () => { for (let i = 0; i < 4; i++) { await new Promise((r) => setTimeout(r, 3)); gc() } }
    class Side extends Duplex { queue = []; _read() {} _write(data, encoding, done) { this.queue.push(data); this.hook?.(); done() } }
    const [a, b] = [new Side(), new Side()]
    let armed = false
    const on = (name) => () => { if (name === '${event}' && armed) { armed = false; leave() } }
    const server = http2.createServer()
    let session
    server.on('session', (s) => { session = s.on('error', () => {}).on('ping', on('ping')).on('remoteSettings', on('remoteSettings')) })
    server.on('stream', (stream) => { stream.on('error', () => {}).on('data', on('data')); stream.respond(); stream.write('x') })
    server.emit('connection', a)
    const client = http2.connect('http://localhost', { createConnection: () => b }).on('error', () => {})
    const pump = () => {
      while (a.queue.length + b.queue.length > 0) {
        for (const data of a.queue.splice(0)) b.push(data)
        for (const data of b.queue.splice(0)) a.push(data)
      }
    }
    const request = client.request({ ':path': '/', ':method': 'POST' }).on('error', () => {})
    for (let i = 0; i < 8; i++) { await turns(); pump() }
    armed = true
    a.hook = on('write')
    request.write('hello'); client.ping(() => {}); client.settings({ enablePush: false })
    await turns()
    const g = new Greenlet(() => { a.push(Buffer.concat(b.queue.splice(0))) })
    g.switch()
    const suspended = !g.dead
    session.destroy(); client.destroy(); a.destroy(); b.destroy()
    await turns()
    for (let i = 0; i < 50; i++) server.emit('connection', new Side())
    await turns()
    g.switch()
    console.log(suspended, g.dead)
    process.exit()`,
    'true true\n',
  )
}
