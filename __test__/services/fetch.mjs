// Node's fetch (undici) in greenlets: many requests from plain functions, a body that is read piece by piece, a request whose greenlet
// is killed.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { sleep, spawn, wait } from '../../dist/index.js'
import { iterate } from './iterate.mjs'

const aborted = []
const server = createServer((req, res) =>
  spawn(function answer() {
    const { pathname } = new URL(req.url, 'http://localhost')
    if (pathname === '/never') return void res.on('close', () => aborted.push(pathname))
    if (pathname === '/lines') {
      for (let i = 0; i < 5; i++) {
        res.write(`line ${i}\n`)
        sleep(2)
      }
      return void res.end()
    }
    let text = ''
    for (const chunk of iterate(req)) text += chunk
    sleep(2)
    res.end(JSON.stringify({ pathname, text }))
  }),
).listen(0, '127.0.0.1')
await once(server, 'listening')
const base = `http://127.0.0.1:${server.address().port}`

function get(path, init) {
  const abort = new AbortController()
  try {
    return wait(fetch(base + path, { ...init, signal: abort.signal }))
  } catch (error) {
    // Where the greenlet is killed, its request ends too.
    abort.abort()
    throw error
  }
}

const answers = await Promise.all(
  Array.from({ length: 50 }, (_, i) =>
    spawn(() => [1, 2].map((n) => wait(get(`/${i}/${n}`, { method: 'POST', body: `body ${i}` }).json()))),
  ),
)
for (const [i, both] of answers.entries()) {
  assert.deepEqual(
    both,
    [1, 2].map((n) => ({ pathname: `/${i}/${n}`, text: `body ${i}` })),
  )
}

const text = await spawn(() => {
  let all = ''
  const decoder = new TextDecoder()
  for (const chunk of iterate(get('/lines').body)) all += decoder.decode(chunk, { stream: true })
  return all
})
assert.equal(text, 'line 0\nline 1\nline 2\nline 3\nline 4\n')

const killed = spawn(get, '/never')
await once(server, 'request')
killed.kill()
await assert.rejects(Promise.resolve(killed), { code: 'ERR_GREENLET_KILLED' })
while (aborted.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))

const refused = await spawn(function caller() {
  try {
    wait(fetch('http://127.0.0.1:1'))
  } catch (error) {
    return error
  }
})
assert.match(refused.stack, /at caller /)
server.closeAllConnections()
server.close()
console.log('ok')
