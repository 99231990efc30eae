// Loaded before each program of the documents. It defines the checks that expectations.ts puts into the program, and at the end it
// makes the program fail where a check failed or was not reached. It also gives a server that asks for port 3000 a free port, and
// leads `fetch('http://localhost:3000/...')` there, so that several programs can run at once. https://example.com is answered here.

import { Server } from 'node:net'
import { format, inspect, isDeepStrictEqual } from 'node:util'
import { isMainThread } from 'node:worker_threads'

const PORT = 3000
const expectations = JSON.parse(process.env['DOCS_EXPECTATIONS'] ?? '[]')
const folder = process.env['DOCS_FOLDER'] ?? ''
const reached = new Set()
const problems = []

globalThis.__docs = {
  is(id, value, expected) {
    reached.add(id)
    if (!isDeepStrictEqual(value, expected)) fail(id, inspect(value))
    return value
  },
  throws(id, caught) {
    reached.add(id)
    const [error] = caught ?? []
    const { text } = expectations[id]
    if (caught === undefined) fail(id, 'no error')
    else if (error?.code !== text && error?.name !== text) fail(id, inspect(error))
  },
  shows(id, ...values) {
    reached.add(id)
    const shown = format(...values).replaceAll(folder, '/app')
    const pattern = expectations[id].text.split('...').map(escaped).join('[^]*')
    if (!new RegExp(`^${pattern}$`).test(shown.trimEnd())) fail(id, shown)
    return values
  },
}

function escaped(text) {
  return text.trimEnd().replaceAll(/[$()*+.?[\\\]^{|}]/g, String.raw`\$&`)
}

function fail(id, found) {
  const { line, kind, text } = expectations[id]
  problems.push(`line ${line} of the block ${kind} '${text}', says its comment, but it is '${found}'`)
}

if (isMainThread) {
  process.on('exit', () => {
    for (const [id, { line, text }] of expectations.entries()) {
      if (!reached.has(id)) problems.push(`line ${line} of the block, with the comment '${text}', was not reached`)
    }
    for (const problem of problems) console.error(`docs: ${problem}`)
    if (problems.length > 0) process.exitCode = 1
  })
}

const listening = Promise.withResolvers?.() ?? resolvers()
const { listen } = Server.prototype
Server.prototype.listen = function (first, ...rest) {
  const asked = first?.port ?? first
  if (Number(asked) !== PORT) return Reflect.apply(listen, this, [first, ...rest])
  this.once('listening', () => listening.resolve(this.address().port))
  return Reflect.apply(listen, this, [typeof first === 'object' ? { ...first, port: 0 } : 0, ...rest])
}

const { fetch } = globalThis
globalThis.fetch = async function (url, ...rest) {
  const given = typeof url === 'string' ? url : url.href
  // The examples of docstrings use it, and there may be no network.
  if (given.startsWith('https://example.com')) return new Response('{}')
  if (!given.startsWith(`http://localhost:${PORT}`)) return fetch(url, ...rest)
  const port = await listening.promise
  // Some servers listen on one of the two addresses of localhost only.
  const server = given.replace(`localhost:${PORT}`, `localhost:${port}`)
  return fetch(server, ...rest)
}

function resolvers() {
  const made = {}
  made.promise = new Promise((resolve) => (made.resolve = resolve))
  return made
}
