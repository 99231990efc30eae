// npx greenlets: another process is looked at from outside, and left as it was.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import type { DumpData, ThreadData } from '../js/dump.ts'
import type { LearntFact } from '../js/native/facts.ts'
import { type Ending, runNode } from './helpers/program.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const CLI = join(ROOT, 'dist/cli/greenlets.js')
const URL_OF = (path: string): string => JSON.stringify(new URL(`../dist/${path}`, import.meta.url).href)
/** Longer than a busy machine takes to start a program. */
const START_MS = 60_000

const cli = (...args: string[]): Promise<Ending> => runNode([CLI, ...args])
const folder = mkdtempSync(join(ROOT, 'target/cli-'))
test.after.always(() => rmSync(folder, { recursive: true }))

/** What a program has in scope. */
const HEAD = `
  import { spawn, sleep, wait, Greenlet } from ${URL_OF('index.js')}
  import { Lock } from ${URL_OF('tools/index.js')}
  import { Worker } from 'node:worker_threads'
  const never = new Promise(() => {})
  setInterval(() => {}, 1e6)
`
const WORKER = `
  new Worker(new URL('data:text/javascript,' + encodeURIComponent(\`
    import { spawn, wait } from ${URL_OF('index.js').slice(1, -1).replace(/^/, "'").replace(/$/, "'")}
    import { parentPort } from 'node:worker_threads'
    setInterval(() => {}, 1e6)
    spawn(function inWorker() { wait(new Promise(() => {})) })
    setTimeout(() => parentPort.postMessage(1), 10)
  \`)), { name: 'helper' })
`

interface Program extends ChildProcess {
  readonly pid: number
  output: string
}

/** Starts a program, which says `ready` on standard output. */
async function start(
  t: ExecutionContext,
  source: string,
  flags: string[] = [],
  inside: readonly string[] = [],
): Promise<Program> {
  const [command, ...args] = [...inside, process.execPath, ...flags, '--input-type=module', '--eval', source]
  const child = spawn(command!, args, { cwd: ROOT }) as Program
  t.teardown(() => child.kill('SIGKILL'))
  child.output = ''
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`it does not start: ${child.output}`)), START_MS)
    const take = (chunk: Buffer): void => {
      child.output += chunk.toString()
      if (!child.output.includes('ready')) return
      clearTimeout(timer)
      resolve()
    }
    child.stdout!.on('data', take)
    child.stderr!.on('data', take)
  })
  return child
}

/** The ports that a process listens on. */
function portsOf(pid: number): number[] {
  const rows = readFileSync(`/proc/${pid}/net/tcp`, 'utf8').matchAll(
    /: [\dA-F]+:([\dA-F]{4}) \S+ 0A(?:\s+\S+){5}\s+(\d+)/g,
  )
  const ports = new Map(Array.from(rows, ([, port, inode]) => [`socket:[${inode}]`, Number.parseInt(port!, 16)]))
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => ports.get(readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? [])
}

const dataOf = ({ stdout }: Ending): DumpData => JSON.parse(stdout) as DumpData
const namesOf = ({ greenlets }: ThreadData): string[] => greenlets.map(({ name }) => name)

/** Each program has a port of its own, because the tests run at the same time. */
const ANY_PORT = ['--inspect-port=0']

test.serial('a process is looked at from outside, and its inspector is closed again', async (t) => {
  const program = await start(
    t,
    `${HEAD}
    const lock = new Lock()
    spawn(function holder() { lock.acquire(); sleep(1e6) })
    for (let i = 0; i < 3; i++) spawn(function waiter() { lock.acquire() })
    ${WORKER}.once('message', () => console.log('ready'))`,
    ANY_PORT,
  )
  const { pid } = program
  const json = await cli('ps', `${pid}`, '--json')
  t.is(json.stderr, '')
  t.is(json.code, 0)
  const [main, worker] = dataOf(json).threads
  t.is(dataOf(json).pid, pid)
  t.deepEqual(namesOf(main!), ['main', 'holder', 'waiter', 'waiter', 'waiter'])
  t.deepEqual([worker!.title, namesOf(worker!)], ['helper', ['main', 'inWorker']])
  t.deepEqual(portsOf(pid), [])

  const ps = await cli('ps', `${pid}`)
  t.regex(ps.stdout, /\nID +PARENT +STATE +WAITS FOR +NAME +AT\n0 /)
  t.regex(ps.stdout, /\n2 +0 +suspended +Lock #1 of 'holder' \(#1\), 3 wait +waiter +waiter \(/)
  const tree = await cli('pstree', `${pid}`)
  t.regex(tree.stdout, /\n'main' \(#0\) running\n├─ 'holder' \(#1\) suspended, waits for sleep\(1000000\)/)
  const text = await cli('dump', `${pid}`, '--limit', '3')
  t.regex(text.stdout, /main thread: 5 greenlets: 1 running, 4 suspended; 2 of them are left out \(limit\)/)
  const file = join(folder, 'page.html')
  t.deepEqual(await cli('dump', `${pid}`, '--html', file), { code: 0, signal: null, stdout: `${file}\n`, stderr: '' })
  t.true(readFileSync(file, 'utf8').includes('<summary>3 greenlets, such as &#39;waiter&#39; (#2)'))
  const top = await cli('top', `${pid}`, '--count', '2', '--interval', '10')
  t.is(top.code, 0)
  t.is(top.stdout.match(/^ {6}3 {2}lock {9}waiter \(/gm)!.length, 2)
  t.deepEqual(portsOf(pid), [])
})

test.serial('a process that hangs in a loop is looked at, and goes on', async (t) => {
  const program = await start(
    t,
    `${HEAD}
    import { existsSync } from 'node:fs'
    spawn(function other() { wait(never) })
    spawn(function hog() {
      console.log('ready')
      const Symbol = undefined
      ;[1].forEach(function endless() { for (let i = 0; ; i++) if (i % 1e6 === 0 && existsSync(${JSON.stringify(join(folder, 'stop'))})) return })
      console.log('went on')
      setTimeout(() => console.log('idle'), 100)
    })`,
    ANY_PORT,
  )
  const ending = await cli('dump', `${program.pid}`, '--json')
  t.is(ending.stderr, '')
  const [main] = dataOf(ending).threads
  t.is(main!.greenlets.find(({ id }) => id === main!.running)!.name, 'hog')
  const frames = main!.runningStack!.map((frame) => frame.function ?? '')
  t.deepEqual(frames.slice(frames.indexOf('endless')), ['endless', 'forEach', 'hog'])
  t.deepEqual(portsOf(program.pid), [])
  writeFileSync(join(folder, 'stop'), '')
  while (!program.output.includes('idle')) await new Promise((resolve) => setTimeout(resolve, 10))
  // Node.js has opened the inspector again when the event loop went on.
  t.deepEqual(portsOf(program.pid), [])
})

test.serial('top ends where its output is closed, and at a signal, and closes the inspector', async (t) => {
  const program = await start(
    t,
    `${HEAD} spawn(() => wait(never)); setTimeout(() => console.log('ready'), 10)`,
    ANY_PORT,
  )
  const end = async (interval: number, act: (top: ChildProcess) => void): Promise<unknown[]> => {
    const top = spawn(process.execPath, [CLI, 'top', `${program.pid}`, '--interval', `${interval}`])
    t.teardown(() => top.kill('SIGKILL'))
    let stderr = ''
    top.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    top.stdout.once('data', () => act(top))
    return new Promise((resolve) => top.on('close', (code, signal) => resolve([code, signal, stderr])))
  }
  t.deepEqual(await end(10, (top) => top.stdout!.destroy()), [0, null, ''])
  t.deepEqual(await end(1e8, (top) => top.kill('SIGINT')), [0, null, ''])
  t.deepEqual(portsOf(program.pid), [])
})

test.serial('an inspector that is open stays open', async (t) => {
  const program = await start(
    t,
    `${HEAD} spawn(function waiter() { wait(never) }); setTimeout(() => console.log('started'), 10)`.replace(
      'started',
      'ready',
    ),
    ['--inspect=127.0.0.1:0'],
  )
  const [port] = portsOf(program.pid)
  const ending = await cli('ps', '--port', `${port}`, '--json')
  t.is(ending.stderr, '')
  t.deepEqual(namesOf(dataOf(ending).threads[0]!), ['main', 'waiter'])
  t.deepEqual(portsOf(program.pid), [port])
})

test.serial('what cannot be looked at is refused with the reason', async (t) => {
  const refused = async (code: number, message: RegExp, ...args: string[]): Promise<void> => {
    const ending = await cli(...args)
    t.deepEqual([ending.code, ending.stdout], [code, ''])
    t.regex(ending.stderr, message)
  }
  const plain = await start(t, "setInterval(() => {}, 1e6); console.log('ready')", ANY_PORT)
  await refused(6, /^greenlets: the process does not use greenlets/, 'ps', `${plain.pid}`)
  t.deepEqual(portsOf(plain.pid), [])

  plain.kill('SIGSTOP')
  await refused(7, /^greenlets: process \d+ is stopped, by SIGSTOP, .*, and got no signal;/, 'ps', `${plain.pid}`)
  t.regex(readFileSync(`/proc/${plain.pid}/status`, 'utf8'), /^ShdPnd:\s+0+$/m)
  plain.kill('SIGCONT')

  const sleeper = spawn('sleep', ['1000'])
  t.teardown(() => sleeper.kill())
  await refused(5, /^greenlets: process \d+ is not Node\.js, but .*\n$/, 'ps', `${sleeper.pid}`)
  t.is(sleeper.exitCode ?? sleeper.signalCode, null)

  if (process.allowedNodeEnvironmentFlags.has('--disable-sigusr1')) {
    const deaf = await start(t, "setInterval(() => {}, 1e6); console.log('ready')", ['--disable-sigusr1'])
    await refused(4, /^greenlets: process \d+ does not handle SIGUSR1, which would end it/, 'ps', `${deaf.pid}`)
    t.is(deaf.signalCode, null)
  }
  const blocked = await start(
    t,
    "console.log('ready'); process.getBuiltinModule('node:child_process').execSync('sleep 20')",
    ANY_PORT,
  )
  await refused(
    7,
    /^greenlets: process \d+ has not opened its inspector in 5000 ms/,
    'ps',
    '--timeout',
    '300',
    `${blocked.pid}`,
  )

  if (process.getuid?.() === 0) {
    const child = spawn(process.execPath, [CLI, 'ps', `${plain.pid}`], { uid: 65_534, gid: 65_534 })
    let stderr = ''
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    const code = await new Promise((resolve) => child.on('close', resolve))
    t.deepEqual([code, stderr.includes('belongs to another user')], [4, true], stderr)
  }

  const server = createServer((_, response) => response.end('hello')).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await refused(5, /^greenlets: no inspector of Node\.js listens on 127\.0\.0\.1:\d+: /, 'ps', '--port', `${port}`)

  await Promise.all([
    refused(3, /^greenlets: there is no process 999999999\n$/, 'ps', '999999999'),
    refused(2, /^greenlets: ps takes a process id, or --port; see greenlets --help\n$/, 'ps'),
    refused(2, /^greenlets: 'x' is not a process id/, 'dump', 'x'),
    refused(2, /^greenlets: --port takes a number up to 65535, not '65536'/, 'ps', '--port', '65536'),
    refused(2, /^greenlets: there is no command 'look'/, 'look', '1'),
    refused(2, /^greenlets: a command is missing/),
    refused(2, /^greenlets: Unknown option '--fast'/, 'ps', '--fast', '1'),
    refused(2, /^greenlets: --limit takes a number, not 'x'/, 'ps', '1', '--limit', 'x'),
    refused(2, /^greenlets: --format is one of text, tree,/, 'ps', '1', '--format', 'xml'),
    refused(2, /^greenlets: greenlets run takes a script/, 'run'),
  ])
})

test.serial(
  'processes with the same port are looked at in turn; one of which the port is taken is refused',
  async (t) => {
    const port = await freePort()
    const source = `${HEAD} spawn(function waiter() { wait(never) }); setTimeout(() => console.log('ready'), 10)`
    const programs = await Promise.all([1, 2, 3].map(() => start(t, source, [`--inspect-port=${port}`])))
    for (let round = 0; round < 2; round++) {
      const looks = programs.map(({ pid }) => cli('ps', `${pid}`, '--json', '--timeout', `${START_MS}`))
      for (const [i, look] of (await Promise.all(looks)).entries()) {
        t.deepEqual([look.stderr, look.code], ['', 0])
        t.deepEqual([dataOf(look).pid, namesOf(dataOf(look).threads[0]!)], [programs[i]!.pid, ['main', 'waiter']])
      }
    }
    const server = createServer().listen(port, '127.0.0.1')
    t.teardown(() => server.close())
    await new Promise((resolve) => server.once('listening', resolve))
    const { pid } = programs[0]!
    const refused = await cli('ps', `${pid}`, '--timeout', '300')
    t.deepEqual([refused.code, refused.stdout], [7, ''])
    t.is(
      refused.stderr,
      `greenlets: process ${pid} cannot open its inspector, because another process listens on port ${port}; end that, or start the ` +
        'program with --inspect-port=0\n',
    )
    for (const program of programs) t.deepEqual(portsOf(program.pid), [])
  },
)

test.serial('a look goes on where another look at the process ends and closes the inspector', async (t) => {
  const source = `${HEAD} spawn(() => wait(never)); setTimeout(() => console.log('ready'), 10)`
  const look = async (port: number): Promise<void> => {
    const { pid } = await start(t, source, [`--inspect-port=${port}`])
    const first = await startTop(t, pid, 1e8)
    const second = await startTop(t, pid, 10)
    t.is(await first.end(), '0 ')
    await second.looksAgain(5)
    t.is(await second.end(), '0 ')
    t.deepEqual(portsOf(pid), [])
  }
  // Where any port will do, the second one has to find that of the first one.
  await Promise.all([look(await freePort()), look(0)])
})

test.serial('an inspector on a port that the command line does not show is found, and stays open', async (t) => {
  const taken = await listenOn(0)
  t.teardown(() => taken.close())
  const { port } = taken.address() as AddressInfo
  const look = async (flag: string, source: string): Promise<void> => {
    const program = `${HEAD}
      import { createServer } from 'node:net'
      import { open } from 'node:inspector'
      ${source}
      spawn(function waiter() { wait(never) })
      // A server of the program, which does not answer.
      createServer(() => {}).listen(0, '127.0.0.1', () => setTimeout(() => console.log('ready'), 10))`
    const { pid } = await start(t, program, [flag])
    const ports = portsOf(pid)
    t.is(ports.length, 2)
    const ending = await cli('ps', `${pid}`, '--json', '--timeout', `${START_MS}`)
    t.deepEqual([ending.stderr, ending.code], ['', 0])
    t.deepEqual(namesOf(dataOf(ending).threads[0]!), ['main', 'waiter'])
    t.deepEqual(portsOf(pid), ports)
  }
  await Promise.all([
    // The title takes the place of the command line.
    look('--inspect=127.0.0.1:0', "process.title = 'short'"),
    look(`--inspect-port=${port}`, "open(0, '127.0.0.1')"),
  ])
})

interface Top {
  /** Waits for so many more looks, or for its end. */
  looksAgain(looks: number): Promise<void>
  /** Ends it. The promise gives its exit code and its errors. */
  end(): Promise<string>
}

/** Starts `greenlets top`, and waits for its first look. */
async function startTop(t: ExecutionContext, pid: number, interval: number): Promise<Top> {
  const args = [CLI, 'top', `${pid}`, '--interval', `${interval}`, '--timeout', `${START_MS}`]
  const top = spawn(process.execPath, args)
  t.teardown(() => top.kill('SIGKILL'))
  let looks = 0
  let errors = ''
  top.stdout.on('data', () => looks++)
  top.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const ended = new Promise<string>((resolve) => top.on('close', (code) => resolve(`${code} ${errors}`)))
  const looksAgain = async (more: number): Promise<void> => {
    const enough = looks + more
    while (looks < enough && top.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await looksAgain(1)
  return {
    looksAgain,
    end() {
      top.kill('SIGINT')
      return ended
    },
  }
}

async function listenOn(port: number): Promise<Server> {
  const server = createServer().listen(port, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  return server
}

/** A port on which nothing listens. */
async function freePort(): Promise<number> {
  const server = await listenOn(0)
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

test.serial(
  'process 1 of a container is looked at from inside, and from outside where the network is shared',
  async (t) => {
    const container = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc']
    const succeeds = (command: string[]): boolean => spawnSync(command[0]!, command.slice(1)).status === 0
    if (!succeeds([...container, '--net', 'ip', 'link', 'set', 'lo', 'up'])) {
      t.log('left out: this system does not permit new namespaces')
      t.pass()
      return
    }
    const source = `${HEAD} spawn(function waiter() { wait(never) }); setTimeout(() => console.log('ready', process.pid), 10)`
    const look = async (program: Program, expected: string[], inside?: string[]): Promise<void> => {
      // unshare waits for it.
      const pid = readFileSync(`/proc/${program.pid}/task/${program.pid}/children`, 'utf8').trim()
      const enter = inside === undefined ? [] : ['nsenter', '--target', pid, ...inside]
      const command = [...enter, process.execPath, CLI, 'ps', inside === undefined ? pid : '1', '--json']
      const { status, stdout, stderr } = spawnSync(command[0]!, command.slice(1), { encoding: 'utf8' })
      if (status === 0) t.deepEqual([namesOf((JSON.parse(stdout) as DumpData).threads[0]!), stderr], [expected, ''])
      else t.deepEqual([status, stderr.includes('a network of its own'), expected], [4, true, []], stderr)
      t.deepEqual(portsOf(Number(pid)), [])
    }
    const shared = await start(t, source, ANY_PORT, container)
    t.true(shared.output.includes('ready 1\n'))
    await look(shared, ['main', 'waiter'])
    await look(shared, ['main', 'waiter'], ['--pid', '--mount'])
    const up = 'ip link set lo up && exec "$@"'
    const apart = await start(t, source, ANY_PORT, [...container, '--net', 'sh', '-c', up, 'sh'])
    await look(apart, [])
    await look(apart, ['main', 'waiter'], ['--pid', '--mount', '--net'])
  },
)

test.serial(
  'the inspector is closed where the program has replaced its globals, and where it cannot be, that is told',
  async (t) => {
    const waiter = `${HEAD} spawn(function waiter() { wait(never) })`
    const ready = "process.stdout.write('ready')"
    const bad = "() => { throw new Error('replaced') }"
    const look = async (source: string, code: number, message: RegExp, names: string[] = []): Promise<number[]> => {
      const { pid } = await start(t, source, ANY_PORT)
      const ending = await cli('ps', `${pid}`, '--json')
      t.is(ending.code, code, ending.stderr)
      t.regex(ending.stderr, message)
      t.deepEqual(ending.stdout === '' ? [] : namesOf(dataOf(ending).threads[0]!), names)
      return portsOf(pid)
    }
    const replaced = `${waiter}
    import timers from 'node:timers'
    setTimeout(() => {
      ${ready}
      process.getBuiltinModule = ${bad}
      for (const name of ['setTimeout', 'setImmediate']) timers[name] = globalThis[name] = ${bad}
      for (const [of, name] of [[Symbol, 'for'], [Array.prototype, 'find'], [Object, 'keys']]) of[name] = ${bad}
      globalThis.process = { env: {} }
      globalThis.Date = ${bad}
      for (const { prototype } of [Object, Array]) prototype.toJSON = ${bad}
    }, 10)`
    t.deepEqual(await look(replaced, 0, /^$/, ['main', 'waiter']), [])
    const plain = `${ready}; setInterval(() => {}, 1e6); delete globalThis.process`
    t.deepEqual(await look(plain, 6, /^greenlets: the process does not use greenlets: [^;]*\n$/), [])

    const kept = `${waiter}
    import inspector from 'node:inspector'
    inspector.close = ${bad}
    setTimeout(() => ${ready}, 10)`
    const open =
      /^greenlets: its inspector, which was opened for the look, is still open on port \d+: Error: replaced; end it in the program,/
    t.is((await look(kept, 1, open, ['main', 'waiter'])).length, 1)
  },
)

test.serial(
  'what listens on the port may answer anything, and --timeout does not leave an inspector open',
  async (t) => {
    const { pid } = await start(
      t,
      `${HEAD} spawn(() => wait(never)); setTimeout(() => console.log('ready'), 10)`,
      ANY_PORT,
    )
    const head = 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n'
    const answers: [(socket: Socket) => void, number, RegExp][] = [
      [
        (socket) => {
          socket.write(head)
          const timer = setInterval(() => socket.write('x'), 50)
          socket.on('close', () => clearInterval(timer))
        },
        7,
        /^greenlets: port \d+ has not answered in 2000 ms\n$/,
      ],
      [
        (socket) => socket.end(`${head}[{"type":"node","webSocketDebuggerUrl":"no URL"}]`),
        5,
        /^greenlets: no inspector of Node\.js listens on 127\.0\.0\.1:\d+: Invalid URL\n$/,
      ],
      [
        (socket) => socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[{`),
        5,
        /^greenlets: no inspector of Node\.js listens on 127\.0\.0\.1:\d+: aborted\n$/,
      ],
    ]
    const looks = answers.map(async ([answer, code, message]) => {
      const server = createTcpServer((socket) => socket.on('error', () => {}).once('data', () => answer(socket)))
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      const { port } = server.address() as AddressInfo
      const ending = await cli('ps', '--port', `${port}`, '--timeout', '2000')
      server.close()
      t.deepEqual([ending.code, ending.stdout], [code, ''])
      t.regex(ending.stderr, message)
    })
    const hasty = await cli('ps', `${pid}`, '--timeout', '1')
    t.notRegex(hasty.stderr, /has not opened/)
    while (portsOf(pid).length > 0) await new Promise((resolve) => setTimeout(resolve, 10))
    // Nothing opens it later.
    t.is((await cli('ps', `${pid}`)).code, 0)
    t.deepEqual(portsOf(pid), [])
    await Promise.all(looks)
  },
)

test.serial('a process that ends meanwhile is told', async (t) => {
  const program = await start(t, `${HEAD} spawn(function waiter() { wait(never) }); console.log('ready')`, ANY_PORT)
  const top = spawn(process.execPath, [CLI, 'top', `${program.pid}`, '--interval', '10'])
  t.teardown(() => top.kill('SIGKILL'))
  let stderr = ''
  top.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  top.stdout.once('data', () => program.kill('SIGKILL'))
  const code = await new Promise((resolve) => top.on('close', resolve))
  t.deepEqual([code, stderr], [3, 'greenlets: the process has ended, or has closed its inspector\n'])
})

test.serial('a look that is interrupted closes the inspector', async (t) => {
  const program = await start(t, `${HEAD} spawn(function waiter() { wait(never) }); console.log('ready')`, ANY_PORT)
  const top = spawn(process.execPath, [CLI, 'top', `${program.pid}`])
  t.teardown(() => top.kill('SIGKILL'))
  top.stdout.once('data', () => top.kill('SIGINT'))
  t.is(await new Promise((resolve) => top.on('close', resolve)), 0)
  t.deepEqual(portsOf(program.pid), [])
})

const factsOf = ({ stdout }: Ending): LearntFact[] => (JSON.parse(stdout) as { facts: LearntFact[] }).facts

/** The fields of a struct of the addon's sources. */
function fieldsOf(file: string, struct: string): string[] {
  const source = readFileSync(join(ROOT, 'crates/napi/src/v8/learn', file), 'utf8')
  const body = source.split(`pub(crate) struct ${struct} {\n`)[1]!.split('\n}')[0]!
  return Array.from(body.matchAll(/^ {4}pub\(crate\) (\w+):/gm), ([, name]) => name!)
}

test.serial('doctor says whether greenlets work here', async (t) => {
  const good = await cli('doctor', '--json')
  t.is(good.code, 0)
  const { supported, checks, node, runtime } = JSON.parse(good.stdout) as Record<string, unknown>
  t.deepEqual([supported, node, (runtime as { lane: string }).lane !== undefined], [true, process.versions.node, true])
  t.true((checks as { ok: boolean }[]).length === 3 && (checks as { ok: boolean }[]).every(({ ok }) => ok))
  const facts = factsOf(good)
  t.true(facts.every((fact) => fact.proven && fact.value !== '' && fact.proof !== ''))
  const names = new Set(facts.map(({ source, name }) => `${source} ${name}`))
  t.is(names.size, facts.length)
  for (const [source, file, struct] of [
    ['table', 'facts.rs', 'Facts'],
    ['learnt', 'layout.rs', 'Layout'],
  ] as const) {
    const own = facts.filter((fact) => fact.source === source).map(({ name }) => name.split('.')[0])
    const fields = fieldsOf(file, struct).filter((field) => field !== 'facts')
    t.true(fields.length > 10)
    t.deepEqual(
      fields.filter((field) => !own.includes(field)),
      [],
      file,
    )
  }
  t.is(facts.find(({ name }) => name === 'version')!.value, `${process.versions.v8.split('.', 2).join('.')}.`)
  const text = await cli('doctor')
  // The system starts each process with a main stack of another size.
  const withoutSizes = (line: string): string => line.replaceAll(/\d+ KiB/g, 'n KiB')
  const lines = withoutSizes(text.stdout)
  for (const { name, value, proof } of facts)
    t.true(lines.includes(withoutSizes(`\n${name}: ${value}\n    proof: ${proof}\n`)), name)

  const bad = await runNode([CLI, 'doctor'], { GREENLETS_SPILL: 'sometimes' })
  t.is(bad.code, 1)
  t.regex(bad.stdout, /^Greenlets do not work here: GREENLETS_SPILL must be/)
  t.regex(bad.stdout, /\nversion: .*\n {4}NOT PROVEN, because the set-up has failed; proof: /)
  t.true(
    factsOf(await runNode([CLI, 'doctor', '--json'], { GREENLETS_SPILL: 'sometimes' })).every((fact) => !fact.proven),
  )
  t.regex(bad.stdout, /\nGREENLETS_SPILL +sometimes\n[\s\S]*npx greenlets doctor --json\n$/)
})

test.serial('run starts a script of which the top level may wait', async (t) => {
  const script = join(folder, 'script.mjs')
  writeFileSync(
    script,
    `import { sleep, Greenlet } from ${URL_OF('index.js')}
    sleep(1)
    console.log(Greenlet.current.name, process.argv.slice(2).join(), process.execArgv.includes('--stack-trace-limit=7'))
    process.exitCode = 5`,
  )
  const ending = await cli('run', '--stack-trace-limit=7', script, '--json', 'a')
  t.deepEqual(ending, { code: 5, signal: null, stdout: 'script.mjs --json,a true\n', stderr: '' })
  const help = await cli('--help')
  t.true(help.code === 0 && help.stdout.startsWith('Usage: greenlets COMMAND'))
  t.regex((await cli('--version')).stdout, /^\d+\.\d+\.\d+\n$/)
})
