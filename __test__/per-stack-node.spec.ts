// State that Node keeps for the thread and that a switch does not move: shows that this is harmless. The table is in
// docs/internals/per-stack-node.md.

import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import test from 'ava'
import { Greenlet, spawn, wait } from '../js/index.ts'
import { printed, runProgram } from './helpers/program.ts'
import { until } from './helpers/promises.ts'

test('hooks that are enabled while a greenlet is suspended in an init hook take effect when it has left that', async (t) => {
  const ending = await runProgram(
    `import { AsyncResource, createHook } from 'node:async_hooks'
     let parks = true, seen = 0
     createHook({ init(id, type) { if (parks && type === 'parks') { parks = false; main.switch() } } }).enable()
     const g = new Greenlet(() => { new AsyncResource('parks'); return 'went on' })
     g.switch()
     createHook({ init() { seen++ } }).enable()
     new AsyncResource('other')
     console.log(seen)
     console.log(g.switch())
     seen = 0
     new AsyncResource('other')
     console.log(seen)`,
  )
  t.deepEqual(ending, printed('0\nwent on\n1\n'))
})

test('while a greenlet is suspended in a require(), main requires modules, also new ones', async (t) => {
  const ending = await runProgram(
    `import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
     import { createRequire } from 'node:module'
     import { tmpdir } from 'node:os'
     import { join } from 'node:path'
     const folder = mkdtempSync(join(tmpdir(), 'greenlets-'))
     const require = createRequire(join(folder, 'x.js'))
     const write = (name, text) => writeFileSync(join(folder, name), text)
     globalThis.park = () => main.switch()
     write('parks.cjs', 'park(); module.exports = "parked"')
     write('child.cjs', 'module.exports = "child"')
     write('old.cjs', 'module.exports = require("./child.cjs")')
     const gs = [new Greenlet(() => require('./parks.cjs')), new Greenlet(() => require('./parks2.cjs'))]
     gs[0].switch()
     console.log(require('./old.cjs'))
     try { require('./parks2.cjs') } catch (error) { console.log(error.code) }
     write('parks2.cjs', 'park(); module.exports = "parked 2"')
     gs[1].switch()
     // First in, first out: the loader's count does not mind.
     console.log(gs[0].switch(), gs[1].switch())
     rmSync(folder, { recursive: true })
     try { require('./late.cjs') } catch (error) { console.log(error.code) }`,
  )
  t.deepEqual(ending, printed('child\nMODULE_NOT_FOUND\nparked parked 2\nMODULE_NOT_FOUND\n'))
})

test('greenlets are suspended inside vm scripts and end in any order; an error on main is an uncaught exception', async (t) => {
  const ending = await runProgram(
    `import vm from 'node:vm'
     const run = () => vm.runInNewContext('park()', { park: () => main.switch() })
     const gs = [1, 2, 3].map(() => new Greenlet(run))
     for (const g of gs) g.switch()
     process.on('uncaughtException', (error) => {
       console.log(error.message)
       for (const g of gs) g.switch()
       console.log(gs.every((g) => g.dead))
     })
     setTimeout(() => { throw new Error('of main') })`,
  )
  t.deepEqual(ending, printed('of main\ntrue\n'))
})

test('requests are parsed while a greenlet is suspended inside of the HTTP parser', async (t) => {
  // The data of a socket comes to the parser on the greenlet that pushes it: the handler runs below the parser.
  const bodies: string[] = []
  let open = (): void => {}
  const gate = new Promise<void>((resolve) => (open = resolve))
  const server = http.createServer((request, response) => {
    if (request.url === '/parked') wait(gate)
    request.setEncoding('utf8').on('data', (text: string) => bodies.push(text))
    request.on('end', () => response.end(request.url))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const { Duplex } = await import('node:stream')
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
  const g = spawn(() => {
    server.emit('connection', socket)
    // The listener of the server parses this on the running stack.
    socket.emit('data', Buffer.from('POST /parked HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody'))
    return 'parsed'
  })
  while (!g.started) await new Promise(setImmediate)
  t.is(g.state, 'suspended')
  const client = net.connect(port, '127.0.0.1')
  client.write('POST /other HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 5\r\n\r\nother')
  let answer = ''
  for await (const chunk of client) answer += String(chunk)
  t.regex(answer, /200 OK[^]*\/other$/)
  t.is(g.state, 'suspended')
  open()
  t.is(await g, 'parsed')
  // A stream may hand its data on in a later turn.
  await until(() => bodies.length === 2)
  t.deepEqual(bodies.toSorted(), ['body', 'other'])
  socket.destroy()
})

test('console.group() of a suspended greenlet indents what main prints, as that of an async function does', async (t) => {
  const { stdout } = await runProgram(
    `const g = new Greenlet(() => { console.group(); main.switch(); console.groupEnd() })
     g.switch(); console.log('main'); g.switch(); console.log('main')`,
  )
  t.is(stdout, '  main\nmain\n')
})

test('ids that Node counts, and queues of the loop, go on while greenlets are suspended', async (t) => {
  const order: string[] = []
  const g = new Greenlet(() => {
    process.nextTick(() => order.push('tick'))
    queueMicrotask(() => order.push('job'))
    setImmediate(() => order.push('immediate'))
    Greenlet.main.switch()
  })
  g.switch()
  await new Promise((resolve) => setTimeout(resolve, 5))
  t.deepEqual(order.toSorted(), ['immediate', 'job', 'tick'])
  g.kill()
})
