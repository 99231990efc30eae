// Uses many features of Node.js and prints the results, which must be the same inside of greenlets (preload.cjs).

import assert from 'node:assert'
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import { exec, execFile, fork, spawn } from 'node:child_process'
import crypto from 'node:crypto'
import dns from 'node:dns'
import { EventEmitter, on, once } from 'node:events'
import fs from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import readline from 'node:readline'
import { PassThrough, Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as after } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import vm from 'node:vm'
import { MessageChannel, Worker } from 'node:worker_threads'
import zlib from 'node:zlib'

const sha = (data) => crypto.createHash('sha256').update(data).digest('hex').slice(0, 12)
const text = async (stream) => Buffer.concat(await stream.toArray()).toString()
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'everywhere-'))
const here = fileURLToPath(import.meta.url)

if (process.argv[2] === 'child') {
  process.on('message', (message) => process.send({ echo: message }, () => process.disconnect()))
} else await features()

async function features() {
  const storage = new AsyncLocalStorage()
  const all = {
    async http() {
      const server = http.createServer((request, response) =>
        storage.run(request.url, async () => {
          const body = await text(request)
          await after(1)
          response.setHeader('x-url', storage.getStore())
          response.write(`${request.method} `)
          setImmediate(() => response.end(body.toUpperCase()))
        }),
      )
      await once(server.listen(0, '127.0.0.1'), 'listening')
      const { port } = server.address()
      const agent = new http.Agent({ keepAlive: true, maxSockets: 4 })
      const ask = (i) =>
        new Promise((resolve, reject) => {
          const request = http.request({ port, agent, method: 'POST', path: `/${i}` }, async (response) =>
            resolve(`${response.headers['x-url']} ${await text(response)}`),
          )
          request.on('error', reject).end(`body ${i}`)
        })
      const answers = await Promise.all(Array.from({ length: 30 }, (_, i) => ask(i)))
      const fetched = await Promise.all(
        [1, 2, 3].map(async (i) => (await fetch(`http://127.0.0.1:${port}/f${i}`)).text()),
      )
      agent.destroy()
      server.close()
      server.closeAllConnections()
      return sha([...answers, ...fetched].join())
    },
    async net() {
      const server = net.createServer((socket) =>
        socket.on('data', (data) => socket.write(data)).on('end', () => socket.end()),
      )
      server.listen(0)
      await once(server, 'listening')
      const socket = net.connect(server.address().port)
      socket.end('x'.repeat(300_000))
      const back = await text(socket)
      server.close()
      return back.length
    },
    async streams() {
      const upper = new Transform({
        transform: (chunk, _, done) => setImmediate(done, null, String(chunk).toUpperCase()),
      })
      const lines = Readable.from(Array.from({ length: 200 }, (_, i) => `line ${i}\n`))
      const out = new PassThrough()
      const [read] = await Promise.all([text(out), pipeline(lines, upper, zlib.createGzip(), zlib.createGunzip(), out)])
      return sha(read)
    },
    async web() {
      const source = new ReadableStream({ start: (c) => (c.enqueue('a'), c.enqueue('b'), c.close()) })
      let seen = ''
      for await (const chunk of source.pipeThrough(new TextEncoderStream()).pipeThrough(new TextDecoderStream()))
        seen += chunk
      return seen
    },
    async files() {
      const file = path.join(scratch, 'file')
      await fs.promises.writeFile(file, 'one\ntwo\nthree\n')
      await promisify(fs.appendFile)(file, 'four\n')
      const lines = []
      for await (const line of readline.createInterface({ input: fs.createReadStream(file, { highWaterMark: 3 }) }))
        lines.push(line)
      const names = await new Promise((resolve, reject) =>
        fs.readdir(scratch, (e, found) => (e ? reject(e) : resolve(found))),
      )
      const missing = await new Promise((resolve) => fs.stat('/does/not/exist', (error) => resolve(error.code)))
      return [lines, names, missing]
    },
    async crypto() {
      const key = await promisify(crypto.pbkdf2)('secret', 'salt', 1000, 32, 'sha256')
      const signed = await crypto.subtle.digest('SHA-256', new TextEncoder().encode('x'))
      const pair = await promisify(crypto.generateKeyPair)('ec', { namedCurve: 'P-256' })
      return [key.toString('hex').slice(0, 8), Buffer.from(signed).toString('hex').slice(0, 8), Object.keys(pair)]
    },
    async zlib() {
      const packed = await promisify(zlib.brotliCompress)(Buffer.alloc(50_000, 'abc'))
      return (await promisify(zlib.brotliDecompress)(packed)).length
    },
    async children() {
      const failed = await promisify(execFile)(process.execPath, ['-e', 'process.exit(3)']).catch((error) => error.code)
      const { stdout } = await promisify(exec)(`"${process.execPath}" -p 6*7`)
      const cat = spawn('cat')
      const piped = text(cat.stdout)
      cat.stdin.end('through a pipe')
      const forked = fork(here, ['child'])
      forked.send({ a: [1] })
      const [message] = await once(forked, 'message')
      return [stdout.trim(), failed, await piped, message]
    },
    async workers() {
      const worker = new Worker(
        `require('worker_threads').parentPort.on('message', (n) => { if (n === 0) process.exit(4); require('worker_threads').parentPort.postMessage(n * 2) })`,
        { eval: true },
      )
      const seen = []
      for (const n of [1, 2, 3]) {
        worker.postMessage(n)
        seen.push((await once(worker, 'message'))[0])
      }
      worker.postMessage(0)
      return [seen, await once(worker, 'exit')]
    },
    async ports() {
      const { port1, port2 } = new MessageChannel()
      port2.on('message', (n) => port2.postMessage(n + 1))
      port1.postMessage(1)
      const [answer] = await once(port1, 'message')
      port1.close()
      return answer
    },
    async events() {
      const emitter = new EventEmitter()
      const stop = new AbortController()
      setTimeout(() => [1, 2, 3].forEach((n) => emitter.emit('n', n)), 1)
      setTimeout(() => stop.abort(), 20)
      const seen = []
      try {
        for await (const [n] of on(emitter, 'n', { signal: stop.signal })) seen.push(n)
      } catch (error) {
        seen.push(error.name)
      }
      const target = new EventTarget()
      target.addEventListener('x', ({ type }) => seen.push(type), { once: true })
      target.dispatchEvent(new Event('x'))
      assert.throws(() => emitter.emit('error', new Error('no listener')), /no listener/)
      return seen
    },
    async order() {
      const seen = []
      const say = (what) => () => seen.push(what)
      await new Promise((resolve) => {
        setTimeout(() => {
          setImmediate(() => {
            say('immediate')()
            process.nextTick(say('tick'))
            queueMicrotask(say('microtask'))
            Promise.resolve().then(say('job')).finally(say('finally'))
            setImmediate(resolve)
          })
          process.nextTick(say('tick of a timer'))
          queueMicrotask(() => process.nextTick(say('tick of a microtask')))
        })
      })
      return seen
    },
    async context() {
      const resource = storage.run('made', () => new AsyncResource('R'))
      const seen = await storage.run('run', async () => {
        await after(1)
        const there = [storage.getStore(), resource.runInAsyncScope(() => storage.getStore())]
        await new Promise((resolve) => process.nextTick(resolve))
        return [...there, storage.getStore()]
      })
      return [seen, storage.getStore()]
    },
    async failures() {
      const rejection = new Promise((resolve) =>
        process.once('unhandledRejection', (reason) => resolve(reason.message)),
      )
      Promise.reject(new Error('unhandled'))
      const first = await rejection
      const exception = new Promise((resolve) => process.once('uncaughtException', (error) => resolve(error.message)))
      setTimeout(() => {
        throw new Error('uncaught')
      })
      return [first, await exception]
    },
    async vm() {
      const context = vm.createContext({ after })
      const value = await vm.runInContext(
        '(async () => { await after(1); return [1, 2].map((x) => x + 1) })()',
        context,
      )
      const limited = (() => {
        try {
          return vm.runInContext('for (;;);', context, { timeout: 5 })
        } catch (error) {
          return error.code
        }
      })()
      return [value, limited]
    },
    async dns() {
      return (await promisify(dns.lookup)('127.0.0.1')).address
    },
    async generators() {
      async function* count(n) {
        for (let i = 0; i < n; i++) {
          await after(0)
          yield i
        }
      }
      const seen = []
      for await (const i of count(5)) seen.push(i)
      return [
        seen,
        await Promise.allSettled([
          Promise.any([Promise.reject(1), after(1, 'a')]),
          Promise.race([after(1, 'b'), after(20, 'c')]),
        ]),
      ]
    },
  }
  for (const [name, feature] of Object.entries(all)) console.log(name, JSON.stringify(await feature()))
  fs.rmSync(scratch, { recursive: true })
}
