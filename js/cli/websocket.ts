/**
 * A client of the inspector's WebSocket, as small as that needs. Node.js has one of its own from 22 on, and one client for all
 * versions is easier to test than two.
 */

import { randomBytes } from 'node:crypto'
import type { ClientRequest } from 'node:http'
import type { Socket } from 'node:net'
import { type Channel, receive, type Settlers } from '../dump/protocol.ts'
import { Failure } from './failure.ts'

// An import reads all of its members, and that loads Node's fetch and its HTTP/2, for 50 ms.
const { get, request } = process.getBuiltinModule('node:http')

/** A session with the inspector of a process. */
export interface Connection extends Channel {
  /** Settled when the connection has ended. */
  readonly ended: Promise<void>
  readonly hasEnded: boolean
  /** The port of the inspector. */
  readonly port: number
  close(): void
}

const TEXT = 1
const CONTINUATION = 0
const CLOSE = 8
const PING = 9
const PONG = 10
/** More than this in one message is no answer of ours. */
const MOST_BYTES = 1024 ** 3

/** Connects to the inspector that listens there. */
export async function connect(host: string, port: number, timeout: number): Promise<Connection> {
  const path = await findTarget(host, port, timeout)
  return new Promise((resolve, reject) => {
    const asked = request({
      host,
      port,
      path,
      agent: false,
      headers: {
        Connection: 'Upgrade',
        Upgrade: 'websocket',
        'Sec-WebSocket-Version': 13,
        'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
      },
    })
    asked.on('upgrade', (_, socket, head) => resolve(new Client(socket as Socket, head, port)))
    asked.on('response', ({ statusCode }) => reject(notInspector(host, port, `it answers ${statusCode}`)))
    limit(asked, timeout, `the inspector on port ${port} does not answer`)
    asked.on('error', (error) => reject(errorOf(error, host, port)))
    asked.end()
  })
}

/** Whether an inspector of Node.js listens there. `signal` ends the question. */
export async function isInspector(host: string, port: number, timeout: number, signal: AbortSignal): Promise<boolean> {
  try {
    await findTarget(host, port, timeout, signal)
    return true
  } catch {
    return false
  }
}

/** Ends a request that takes longer in all. Node's own `timeout` is for sockets that are idle, and a server may stream. */
function limit(asked: ClientRequest, timeout: number, message: string): void {
  const timer = setTimeout(() => asked.destroy(new Failure('silent', message)), timeout)
  // The socket of a WebSocket goes on after its request.
  asked.on('upgrade', () => clearTimeout(timer)).on('close', () => clearTimeout(timer))
}

/** The path of the WebSocket of the process behind a port. */
function findTarget(host: string, port: number, timeout: number, signal?: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = get({ host, port, path: '/json/list', agent: false, signal }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
        if (text.length > 1e6) asked.destroy(notInspector(host, port, 'its answer is too long'))
      })
      response.on('error', (error) => reject(errorOf(error, host, port)))
      response.on('end', () => {
        try {
          const [{ webSocketDebuggerUrl, type }] = JSON.parse(text) as [{ webSocketDebuggerUrl: string; type: string }]
          if (type !== 'node') throw new Error(`it is of the type ${type}`)
          resolve(new URL(webSocketDebuggerUrl).pathname)
        } catch (error) {
          reject(notInspector(host, port, (error as Error).message))
        }
      })
    })
    limit(asked, timeout, `port ${port} has not answered in ${timeout} ms`)
    asked.on('error', (error) => reject(errorOf(error, host, port)))
  })
}

function notInspector(host: string, port: number, why: string): Failure {
  return new Failure('notNode', `no inspector of Node.js listens on ${host}:${port}: ${why}`)
}

function errorOf(error: Error, host: string, port: number): Failure {
  if (error instanceof Failure) return error
  if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') {
    return new Failure('ended', `nothing listens on ${host}:${port}; start the program with --inspect=${port}`)
  }
  return new Failure('notNode', `no inspector of Node.js listens on ${host}:${port}: ${error.message}`)
}

class Client implements Connection {
  onEvent: Channel['onEvent']
  readonly ended: Promise<void>
  readonly port: number
  readonly #socket: Socket
  readonly #answers = new Map<number, Settlers>()
  #last = 0
  #received: Buffer[] = []
  #size = 0
  /** How many bytes are needed for the next step. */
  #needed = 2
  /** The parts of a message that has not ended. */
  #parts: Buffer[] = []

  constructor(socket: Socket, head: Buffer, port: number) {
    this.port = port
    this.#socket = socket
    socket.setNoDelay(true)
    socket.setTimeout(0)
    this.ended = new Promise((resolve) => {
      socket.on('close', () => {
        for (const { reject } of this.#answers.values()) {
          reject(new Failure('ended', 'the process has ended, or has closed its inspector'))
        }
        this.#answers.clear()
        resolve()
      })
    })
    socket.on('error', () => socket.destroy())
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    if (head.length > 0) this.#take(head)
  }

  get hasEnded(): boolean {
    return this.#socket.destroyed
  }

  ask(method: string, params: object = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) {
        reject(new Failure('ended', 'the process has ended, or has closed its inspector'))
        return
      }
      this.#answers.set(++this.#last, { resolve, reject })
      this.#send(TEXT, Buffer.from(JSON.stringify({ id: this.#last, method, params })))
    })
  }

  close(): void {
    this.#send(CLOSE, Buffer.alloc(0))
    this.#socket.end()
    // The other side may hang.
    setTimeout(() => this.#socket.destroy(), 500).unref()
  }

  #send(opcode: number, payload: Buffer): void {
    if (this.#socket.destroyed) return
    const { length } = payload
    const head = Buffer.alloc(length < 126 ? 6 : length < 65_536 ? 8 : 14)
    head[0] = 0x80 | opcode
    head[1] = 0x80 | (length < 126 ? length : length < 65_536 ? 126 : 127)
    if (head.length === 8) head.writeUInt16BE(length, 2)
    if (head.length === 14) head.writeBigUInt64BE(BigInt(length), 2)
    // The mask of a client may be zero: it protects proxies, and there are none on loopback.
    this.#socket.write(Buffer.concat([head, payload]))
  }

  #take(chunk: Buffer): void {
    this.#received.push(chunk)
    this.#size += chunk.length
    // Long messages come in many chunks, which are joined once.
    while (this.#size >= this.#needed) {
      const all = this.#received.length === 1 ? this.#received[0]! : Buffer.concat(this.#received)
      const rest = this.#frame(all)
      this.#received = rest.length === 0 ? [] : [rest]
      this.#size = rest.length
      if (rest === all) return
    }
  }

  /** Reads one frame, and returns what comes after it; `bytes` itself where the frame is not complete. */
  #frame(bytes: Buffer): Buffer {
    const short = bytes[1]! & 0x7f
    const start = short === 126 ? 4 : short === 127 ? 10 : 2
    this.#needed = start
    if (bytes.length < start) return bytes
    const length = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short
    if (length > MOST_BYTES) {
      this.#socket.destroy()
      return Buffer.alloc(0)
    }
    this.#needed = start + length
    if (bytes.length < start + length) return bytes
    this.#needed = 2
    const payload = bytes.subarray(start, start + length)
    this.#message(bytes[0]! & 0x0f, (bytes[0]! & 0x80) !== 0, payload)
    return bytes.subarray(start + length)
  }

  #message(opcode: number, isLast: boolean, payload: Buffer): void {
    if (opcode === PING) this.#send(PONG, payload)
    if (opcode === CLOSE) this.#socket.end()
    if (opcode !== TEXT && opcode !== CONTINUATION) return
    this.#parts.push(payload)
    if (!isLast) return
    const text = Buffer.concat(this.#parts).toString()
    this.#parts = []
    receive(this, this.#answers, text)
  }
}
