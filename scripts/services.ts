// Starts PostgreSQL and Redis for the tests with real clients, on free ports of the loopback interface, with their data in
// target/services. Programs that this machine does not have are fetched from its own Debian's archive and unpacked in .nodes/services;
// nothing is installed. Run as a program, it keeps both running until it is interrupted.

import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { delimiter, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { librariesOf, unpackMissing, whyNotDebian } from './debian.ts'
import { HOME, made } from './nodes.ts'

const ROOT = resolve(import.meta.dirname, '..')
const SECONDS_TO_START = 60
/** The user `nobody`: PostgreSQL refuses to run as root. */
const NOBODY = 65534

/** Running servers, and how to end them. */
export interface Services extends AsyncDisposable {
  /** For the environment of programs that connect to them. */
  readonly env: Readonly<Record<'POSTGRES_URL' | 'REDIS_URL', string>>
}

interface Programs {
  /** The folder of initdb and postgres. */
  readonly postgres: string
  readonly redis: string
  readonly env: NodeJS.ProcessEnv
}

/** Starts both; a text is the reason why this machine cannot have them. */
export async function startServices(): Promise<Services | string> {
  const programs = findPrograms()
  if (typeof programs === 'string') return programs
  mkdirSync(join(ROOT, 'target'), { recursive: true })
  const folder = mkdtempSync(join(ROOT, 'target/services-'))
  const user = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
  if (user.uid !== undefined) chownSync(folder, NOBODY, NOBODY)
  const options = { cwd: folder, env: programs.env, ...user }
  const running: Server[] = []
  const end = async (): Promise<void> => {
    await Promise.all(running.map((server) => server.end()))
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    const data = join(folder, 'postgres')
    const [postgres, redis] = [await freePort(), await freePort()]
    const redisFlags = ['--bind', '127.0.0.1', '--port', String(redis), '--save', '', '--appendonly', 'no']
    running.push(new Server(programs.redis, [...redisFlags, '--dir', folder], options))
    const initFlags = ['--auth=trust', '--username=greenlets', '--encoding=UTF8', '--locale=C', '--no-sync']
    execFileSync(join(programs.postgres, 'initdb'), [...initFlags, '-D', data], {
      ...options,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const settings = {
      port: postgres,
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      fsync: 'off',
      shared_buffers: '16MB',
      max_connections: 40,
    }
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    running.push(new Server(join(programs.postgres, 'postgres'), ['-D', data, ...flags], options))
    await running[0]!.listens(redis)
    await running[1]!.listens(postgres)
    return {
      env: {
        POSTGRES_URL: `postgres://greenlets@127.0.0.1:${postgres}/postgres`,
        REDIS_URL: `redis://127.0.0.1:${redis}`,
      },
      [Symbol.asyncDispose]: end,
    }
  } catch (error) {
    await end()
    throw error
  }
}

/** A server that runs as a child of this process. */
class Server {
  readonly #name: string
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>
  #output = ''

  constructor(program: string, args: readonly string[], options: object) {
    this.#name = program
    this.#child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#ended = once(this.#child, 'close')
    this.#ended.catch((error: unknown) => (this.#output += String(error)))
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream!.setEncoding('utf8').on('data', (text: string) => (this.#output += text))
    }
    // Also where this process ends with an error.
    process.once('exit', () => this.#child.kill('SIGKILL'))
  }

  /** Waits until it takes connections. */
  async listens(port: number): Promise<void> {
    for (let tries = 0; tries < SECONDS_TO_START * 10; tries++) {
      if (this.#child.exitCode !== null || this.#child.pid === undefined) break
      // PostgreSQL listens some moments before it answers.
      const ready = !this.#name.endsWith('postgres') || /ready to accept connections/.test(this.#output)
      if (ready && (await isOpen(port))) return
      await sleep(100)
    }
    throw new Error(`${this.#name} does not listen on port ${port}:\n${this.#output}`)
  }

  async end(): Promise<void> {
    // For PostgreSQL: disconnects its clients and stops. Redis stops too.
    this.#child.kill('SIGINT')
    await this.#ended.catch(() => undefined)
  }
}

function findPrograms(): Programs | string {
  const [postgres, redis] = [installedPostgres('/'), installedRedis(process.env['PATH'] ?? '')]
  if (postgres !== undefined && redis !== undefined) return { postgres, redis, env: process.env }
  const reason = whyNotDebian()
  if (reason !== undefined) return `PostgreSQL or Redis is not installed, and ${reason}`
  const missing = [...(postgres === undefined ? ['postgresql'] : []), ...(redis === undefined ? ['redis-server'] : [])]
  const root = made(join(HOME, `services-${missing.join('-')}`), (partial) => unpackMissing(missing, partial))
  return {
    postgres: postgres ?? installedPostgres(root)!,
    redis: redis ?? installedRedis(join(root, 'usr/bin'))!,
    env: { ...process.env, LD_LIBRARY_PATH: librariesOf(root) },
  }
}

/** The newest one in a root. */
function installedPostgres(root: string): string | undefined {
  const home = join(root, 'usr/lib/postgresql')
  const versions = existsSync(home) ? readdirSync(home).sort((a, b) => Number(b) - Number(a)) : []
  return versions.map((version) => join(home, version, 'bin')).find((bin) => existsSync(join(bin, 'postgres')))
}

function installedRedis(path: string): string | undefined {
  return path
    .split(delimiter)
    .map((folder) => join(folder, 'redis-server'))
    .find((file) => existsSync(file))
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      done(true)
    })
    socket.once('error', () => done(false))
  })
}

if (process.argv[1] === import.meta.filename) {
  const services = await startServices()
  if (typeof services === 'string') throw new Error(services)
  for (const [name, value] of Object.entries(services.env)) console.log(`${name}=${value}`)
  console.log('running until Ctrl-C')
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
  await services[Symbol.asyncDispose]()
  process.exit()
}
