// A client disconnects while async functions below a handler wait: their promises are rejected with the exit that ends the request,
// and the server goes on.

import test from 'ava'
import { runProgram } from '../helpers/program.ts'

const HANDLERS: Readonly<Record<string, string>> = {
  'an async function of which only the value is used': `(req, res) => { load().then((value) => res.end(value)) }`,
  'an async function that nothing awaits': `(req, res) => { load(); res.end('not here') }`,
  'an async handler that awaits an async function': `async (req, res) => { res.end(await load()) }`,
  'Promise.all() of async functions': `(req, res) => { Promise.all([load(), 1]).then(() => res.end('not here')) }`,
  'a listener of an AbortSignal': `(req, res) => { const c = new AbortController(); c.signal.addEventListener('abort', () => { sleep(1e6) }); c.abort() }`,
}

for (const [what, handler] of Object.entries(HANDLERS)) {
  test(`a server survives a client that disconnects during ${what}`, async (t) => {
    const { code, stdout, stderr } = await runProgram(
      `import express from 'express'
       import http from 'node:http'
       import { once } from 'node:events'
       import { greenlets as inGreenlets } from './js/adapters/express.ts'
       const load = async () => { sleep(1e6); return 'value' }
       const app = express()
       app.use(inGreenlets())
       app.get('/parked', ${handler})
       app.get('/alive', (req, res) => { sleep(1); res.end('alive') })
       app.use((error, req, res, next) => { console.log('the error handler got', error.constructor.name); res.end() })
       const server = app.listen(0, '127.0.0.1')
       await once(server, 'listening')
       const at = (path) => 'http://127.0.0.1:' + server.address().port + path
       const others = () => Greenlet.all().filter((g) => g !== main).length
       for (let i = 0; i < 3; i++) {
         const client = http.get(at('/parked'), { agent: false }).on('error', () => {})
         while (others() === 0) await new Promise(setImmediate)
         client.destroy()
         while (others() > 0) await new Promise((resolve) => setTimeout(resolve, 1))
       }
       await new Promise((resolve) => setTimeout(resolve, 10))
       console.log(await (await fetch(at('/alive'))).text())
       server.closeAllConnections(); server.close()`,
    )
    t.is(stderr, '')
    t.is(stdout, 'alive\n')
    t.is(code, 0)
  })
}
