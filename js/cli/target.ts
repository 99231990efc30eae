/**
 * The process that is looked at: whether it may be, and how its inspector is opened. Node.js opens it on loopback when it gets
 * `SIGUSR1`; the signal would end a process that does not handle it, so that is looked at first. All of it is read from /proc.
 */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Failure } from './failure.ts'
import { connect, type Connection, isInspector } from './websocket.ts'

const DEFAULT_PORT = 9229
const SIGUSR1 = 10
/** How long it waits between two looks, at first and at most. */
const FIRST_STEP_MS = 2
const STEP_MS = 20
/** How long it waits until it sends the signal again, at first; longer each time after that. */
const AGAIN_MS = 500
/** So many looks more, STEP_MS apart, must find a process stopped. */
const STOPPED_LOOKS = 10
/** How many sockets it asks whether they are the inspector. */
const MOST_ASKED = 50
/** How often the inspector may be closed by something else until a look is given up. */
export const MOST_LOSSES = 20

interface Listener {
  readonly host: string
  readonly port: number
  readonly inode: string
}

/** A connection to a process, and whether this program has opened the inspector. */
export interface Opened {
  readonly connection: Connection
  readonly isOurs: boolean
}

/** A process of which the inspector is opened, also again where something else has closed it meanwhile. */
export class Target {
  readonly #pid: number
  readonly #patience: number
  /** Sockets that are not the inspector. */
  readonly #others = new Set<string>()
  /** What the process listened on before the first signal. */
  #first: ReadonlySet<string> | undefined
  #hasSignalled = false

  /** @param patience how many milliseconds the process may take to open its inspector */
  constructor(pid: number, patience: number) {
    this.#pid = pid
    this.#patience = patience
  }

  async open(): Promise<Opened> {
    if (process.platform !== 'linux') {
      throw new Failure('forbidden', `a process can only be looked at on Linux, not on ${process.platform}; use --port`)
    }
    const pid = this.#pid
    for (let losses = 0; ; losses++) {
      checkProcess(pid)
      await checkGoesOn(pid)
      const expected = portOf(pid)
      const listener = await this.#find(expected)
      try {
        const connection = await connect(listener.host, listener.port, this.#patience)
        return { connection, isOurs: this.#hasSignalled && !this.#first!.has(listener.inode) }
      } catch (error) {
        // Another `greenlets ps` of the process closes the inspector that this one has found.
        const isThere = listenersOf(pid).some(({ inode }) => inode === listener.inode)
        if (losses >= MOST_LOSSES || (isThere && listener.port === expected)) {
          throw new Failure(
            'silent',
            isThere
              ? `process ${pid} uses port ${listener.port} for something else than its inspector: ${messageOf(error)}`
              : `process ${pid} has closed its inspector ${losses + 1} times while it was looked at; try again`,
          )
        }
        // The program listens on a port of its own since then.
        if (isThere) this.#others.add(listener.inode)
      }
    }
  }

  /** Finds the socket of the inspector, and opens the inspector where it is not open. */
  async #find(expected: number): Promise<Listener> {
    const pid = this.#pid
    const before = listenersOf(pid).filter(({ inode }) => !this.#others.has(inode))
    this.#first ??= new Set(before.map(({ inode }) => inode))
    const already = before.find(({ port }) => port === expected)
    if (already !== undefined && expected !== 0) return already

    const known = new Set(before.map(({ inode }) => inode))
    let answered: Listener | undefined
    const over = new AbortController()
    let now = performance.now()
    const start = now
    let end = start + this.#patience
    let again = Math.min(AGAIN_MS, this.#patience / 2)
    let isAsked = false
    let wasFree = false
    let isDue = true
    let taken = false
    try {
      for (let pause = FIRST_STEP_MS; now < end; pause = Math.min(2 * pause, STEP_MS), now = performance.now()) {
        const listeners = listenersOf(pid)
        const opened = answered ?? listeners.find(({ inode }) => !known.has(inode) && !this.#others.has(inode))
        if (opened !== undefined) return opened
        // Another process has the port, perhaps for another `greenlets ps`: then this one cannot open it until that is over.
        taken = isTaken(pid, expected)
        // Where that was the inspector, which another `greenlets ps` has closed, the signal had no effect.
        const gone = [...known].filter((inode) => !listeners.some((listener) => listener.inode === inode))
        for (const inode of gone) known.delete(inode)
        isDue ||= taken || gone.length > 0
        // The other one may also have closed the inspector that this signal has opened, before it is seen here.
        const isLate = now >= start + again
        if (isLate) again = 2 * again + AGAIN_MS
        // When it is late, also where the port is taken: the inspector's port may be another one than the process was started with.
        if (isLate || (isDue && !taken)) {
          this.#signal()
          isDue = false
        }
        if (!taken && !wasFree) {
          wasFree = true
          end = now + this.#patience
        }
        // The inspector may have been open before, on such a port. Only then is it asked for: the sockets may be the program's servers.
        if (isLate && !isAsked) {
          isAsked = true
          for (const listener of before.slice(0, MOST_ASKED)) {
            void isInspector(listener.host, listener.port, end - now, over.signal).then((is) => {
              if (is) answered ??= listener
            })
          }
        }
        await sleep(pause)
      }
    } finally {
      over.abort()
    }
    if (taken) {
      throw new Failure(
        'silent',
        `process ${pid} cannot open its inspector, because another process listens on port ${expected}; end that, or start the program ` +
          'with --inspect-port=0',
      )
    }
    const where = expected === 0 ? '' : `, on port ${expected}`
    throw new Failure(
      'silent',
      `process ${pid} has not opened its inspector in ${this.#patience} ms: it handles SIGUSR1 itself, or is in native code, such as ` +
        `execSync(), and will open it afterwards${where}; try again, or start it with --inspect and use --port`,
    )
  }

  #signal(): void {
    signal(this.#pid, 'SIGUSR1')
    this.#hasSignalled = true
  }
}

/** Throws where the process must not get the signal. */
function checkProcess(pid: number): void {
  signal(pid, 0)
  const status = read(pid, 'status')
  if (/^State:\s+[ZX]/m.test(status)) throw ended(pid)
  const program = linkOf(pid, 'exe')
  if (!isNode(pid, program)) throw new Failure('notNode', `process ${pid} is not Node.js, but ${program}`)
  if (linkOf(pid, 'ns/net') !== readlinkSync('/proc/self/ns/net')) {
    throw new Failure(
      'forbidden',
      `process ${pid} has a network of its own, as in a container, so its inspector cannot be reached; run this command there: ` +
        'docker exec CONTAINER npx greenlets …, with the process ids of the container',
    )
  }
  const caught = BigInt(`0x${/^SigCgt:\s+([\da-f]+)/m.exec(status)?.[1] ?? '0'}`)
  if ((caught & (1n << BigInt(SIGUSR1 - 1))) === 0n) {
    throw new Failure(
      'forbidden',
      `process ${pid} does not handle SIGUSR1, which would end it: it was started with --disable-sigusr1, or starts just now; ` +
        'start it with --inspect and use --port',
    )
  }
}

/** Throws where the process is stopped: it would open its inspector when it goes on, and nothing would close it. */
async function checkGoesOn(pid: number): Promise<void> {
  // A program that traces it, such as strace, stops it for moments.
  for (let looks = 0; ; looks++) {
    const why = stopOf(pid)
    if (why === undefined) return
    if (looks === STOPPED_LOOKS) {
      throw new Failure('silent', `process ${pid} ${why}, and got no signal; let it go on, and try again`)
    }
    await sleep(STEP_MS)
  }
}

function stopOf(pid: number): string | undefined {
  if (/^State:\s+[Tt]/m.test(read(pid, 'status'))) {
    return 'is stopped, by SIGSTOP, Ctrl-Z or a debugger (kill -CONT lets it go on)'
  }
  for (const [, controllers, path] of read(pid, 'cgroup').matchAll(/^\d+:([^:\n]*):(.*)$/gm)) {
    const isFrozen =
      controllers === ''
        ? /^frozen 1$/m.test(readIf(`/sys/fs/cgroup${path}/cgroup.events`))
        : controllers!.split(',').includes('freezer') &&
          /^(?:FREEZING|FROZEN)/.test(readIf(`/sys/fs/cgroup/freezer${path}/freezer.state`))
    if (isFrozen) return 'is frozen, for example by docker pause'
  }
  return undefined
}

function readIf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    // There are no such control groups, or they are mounted elsewhere.
    return ''
  }
}

function isNode(pid: number, program: string): boolean {
  const name = basename(program.replace(/ \(deleted\)$/, ''))
  if (/^(?:node|nodejs)(?:[-.\d]|$)/.test(name)) return true
  // A program that has Node.js in it, or loads it as a library.
  return /\/libnode\.so|\.node$/m.test(read(pid, 'maps'))
}

function ended(pid: number): Failure {
  return new Failure('ended', `there is no process ${pid}`)
}

function signal(pid: number, name: NodeJS.Signals | 0): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    throw failureOf(pid, error)
  }
}

function failureOf(pid: number, error: unknown): Failure {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'EPERM' || code === 'EACCES') {
    return new Failure(
      'forbidden',
      `process ${pid} belongs to another user, or is protected; run this command as its user`,
    )
  }
  return code === 'ENOENT' || code === 'ESRCH' ? ended(pid) : new Failure('error', messageOf(error))
}

function read(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8')
  } catch (error) {
    throw failureOf(pid, error)
  }
}

function linkOf(pid: number, name: string): string {
  try {
    return readlinkSync(`/proc/${pid}/${name}`)
  } catch (error) {
    throw failureOf(pid, error)
  }
}

/** The port that the inspector will have, as the process was started; 0 for any. */
function portOf(pid: number): number {
  const inEnvironment = /(?:^|\0)NODE_OPTIONS=([^\0]*)/.exec(read(pid, 'environ'))?.[1] ?? ''
  const words = [...inEnvironment.split(/\s+/), ...read(pid, 'cmdline').split('\0')]
  let port = DEFAULT_PORT
  for (const [i, word] of words.entries()) {
    const option = /^--(?:inspect-port|debug-port|inspect(?:-brk|-wait)?)(?:=(.*))?$/.exec(word)
    if (option === null) continue
    const value = option[1] ?? (word.endsWith('-port') ? words[i + 1] : undefined)
    const digits = /(?:^|:)(\d+)$/.exec(value ?? '')?.[1]
    if (digits !== undefined) port = Number(digits)
  }
  return port
}

/** Whether a process other than this one has the port. Port 0 stands for any that is free. */
function isTaken(pid: number, port: number): boolean {
  if (port === 0) return false
  const listeners = allListeners(pid).filter((listener) => listener.port === port)
  // Its own sockets are read afterwards: it may open its inspector just now.
  return listeners.length > 0 && !listeners.some(({ inode }) => ownSockets(pid).has(inode))
}

/** The sockets that the process listens on. */
function listenersOf(pid: number): Listener[] {
  const own = ownSockets(pid)
  return allListeners(pid).filter(({ inode }) => own.has(inode))
}

function ownSockets(pid: number): Set<string> {
  const own = new Set<string>()
  for (const fd of namesOf(pid)) {
    try {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1]
      if (inode !== undefined) own.add(inode)
    } catch {
      // It was closed meanwhile.
    }
  }
  return own
}

function namesOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`)
  } catch (error) {
    throw failureOf(pid, error)
  }
}

/** All listening sockets of the process's network. */
function allListeners(pid: number): Listener[] {
  return [...tableOf(pid, 'net/tcp'), ...tableOf(pid, 'net/tcp6')]
}

function tableOf(pid: number, name: string): Listener[] {
  let table = ''
  try {
    table = readFileSync(`/proc/${pid}/${name}`, 'utf8')
  } catch (error) {
    // Without IPv6 there is no tcp6.
    if (name === 'net/tcp') throw failureOf(pid, error)
  }
  const rows = table.matchAll(/^\s*\d+: ([\dA-F]+):([\dA-F]{4}) \S+ 0A(?:\s+\S+){5}\s+(\d+)/gm)
  return Array.from(rows, ([, address, port, inode]) => ({
    host: hostOf(address!),
    port: Number.parseInt(port!, 16),
    inode: inode!,
  }))
}

/** An address of /proc, of which the bytes of each word are reversed. Where a socket listens everywhere, loopback is it too. */
function hostOf(address: string): string {
  const words = address.match(/.{8}/g)!.map((word) => word.match(/../g)!.toReversed())
  if (/^0*$/.test(address)) return words.length === 1 ? '127.0.0.1' : '::1'
  if (words.length === 1) return words[0]!.map((byte) => Number.parseInt(byte, 16)).join('.')
  return words.flat().join('').match(/.{4}/g)!.join(':')
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
