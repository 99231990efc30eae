#!/usr/bin/env node
/** `npx greenlets`: looks at a process from outside, checks the installation, and runs a script in a greenlet. */

import { writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { version } from '../common/version.ts'
import { DEFAULT_EXTENT } from '../dump/extent.ts'
import type { DumpData } from '../dump/data.ts'
import { type DumpFormat, FORMATS, print } from '../dump/print.ts'
import { Failure } from './failure.ts'
import { type Address, Remote } from './remote.ts'
import { messageOf } from './target.ts'
import { summaryOf } from './top.ts'

const HELP = `Usage: greenlets COMMAND [options]

Look at a process that uses greenlets, from outside. It needs no code and no flag for that. Its inspector is opened on
loopback, asked, and closed again; a process that hangs in a loop is stopped for a moment.
  ps PID        a table of its greenlets
  pstree PID    a tree, by parent
  dump PID      all stacks, equal ones once
  top PID       where most greenlets wait, every two seconds

  doctor        whether greenlets work here, and why not
  run SCRIPT    run a script whose top level may wait(); options before SCRIPT go to Node.js

Options of ps, pstree, dump and top:
  --port PORT      the port of an inspector that is open, in place of PID
  --host HOST      the host of that inspector (127.0.0.1)
  --json           print the data as JSON
  --format FORMAT  ${FORMATS.join(', ')}
  --html FILE      write a page to a file
  --limit N        at most so many greenlets of each thread (${DEFAULT_EXTENT.limit})
  --frames N       at most so many frames of each stack (${DEFAULT_EXTENT.frames})
  --timeout MS     how long a thread may take to answer (1000), and an inspector (5000; with PID not less)
  --interval MS    top: the time between two looks (2000)
  --count N        top: end after so many looks

Other options: --help, --version; doctor has --json.

Exit codes: 0 done, 1 another error or doctor found a problem, 2 wrong usage, 3 there is no such process, 4 it may not be
looked at, 5 it is not Node.js, 6 it does not use greenlets, 7 it does not answer.
`

const OPTIONS = {
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
  json: { type: 'boolean' },
  port: { type: 'string' },
  host: { type: 'string' },
  format: { type: 'string' },
  html: { type: 'string' },
  limit: { type: 'string' },
  frames: { type: 'string' },
  timeout: { type: 'string' },
  interval: { type: 'string' },
  count: { type: 'string' },
} as const

/** How long an inspector may take to open and to answer. */
const OPENING_MS = 5000

type Values = ReturnType<typeof parse>['values']

const FORMAT_OF: Readonly<Record<string, DumpFormat>> = { ps: 'list', pstree: 'tree', dump: 'text', top: 'text' }

function parse(args: string[]) {
  return parseArgs({ args, options: OPTIONS, allowPositionals: true })
}

async function main(args: string[]): Promise<number> {
  // The options behind it are those of Node.js and of the script.
  if (args[0] === 'run' && args[1] !== '--help') {
    const { run } = await import('./run.ts')
    return run(args.slice(1))
  }
  let parsed
  try {
    parsed = parse(args)
  } catch (error) {
    throw new Failure('usage', messageOf(error))
  }
  const { values, positionals } = parsed
  const [command, ...rest] = positionals
  if (values.version) return write(`${version}\n`)
  if (values.help || command === 'help') return write(HELP)
  if (command === 'doctor') return doctor(rest, values)
  if (command === undefined) throw new Failure('usage', 'a command is missing')
  if (!Object.hasOwn(FORMAT_OF, command)) throw new Failure('usage', `there is no command '${command}'`)
  return look(command, rest, values)
}

function write(text: string): number {
  process.stdout.write(text)
  return 0
}

async function doctor(rest: readonly string[], values: Values): Promise<number> {
  if (rest.length > 0) throw new Failure('usage', `doctor takes no '${rest[0]}'`)
  // Only this command runs greenlets here; the others start faster without them.
  const { diagnose, textOf } = await import('./doctor.ts')
  const diagnosis = diagnose()
  write(values.json ? `${JSON.stringify(diagnosis, undefined, 2)}\n` : textOf(diagnosis))
  return diagnosis.supported ? 0 : 1
}

async function look(command: string, rest: readonly string[], values: Values): Promise<number> {
  const format = values.json ? 'json' : ((values.format as DumpFormat | undefined) ?? FORMAT_OF[command]!)
  if (!FORMATS.includes(format)) throw new Failure('usage', `--format is one of ${FORMATS.join(', ')}, not '${format}'`)
  const extent = {
    limit: count(values, 'limit', DEFAULT_EXTENT.limit),
    frames: count(values, 'frames', DEFAULT_EXTENT.frames),
  }
  const interval = count(values, 'interval', 2000)
  const times = command === 'top' ? count(values, 'count', Infinity) : 1
  let stop: (() => void) | undefined
  const stopped = new Promise<void>((resolve) => (stop = resolve))
  // The inspector must not stay open, also if it opens just now.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => stop!())
  process.stdout.once('error', () => stop!())
  const over = new AbortController()
  let isStopped = false
  void stopped.then(() => (isStopped = true))
  const address = addressOf(command, rest, values)
  const opening = count(values, 'timeout', OPENING_MS)
  const remote = await Remote.open(
    address,
    count(values, 'timeout', 1000),
    // After a signal, an inspector that is not waited for would open and stay open.
    'pid' in address ? Math.max(opening, OPENING_MS) : opening,
  )
  let failure: unknown
  try {
    for (let i = 0; i < times && !isStopped; i++) {
      if (i > 0) await Promise.race([sleep(interval, undefined, { signal: over.signal }), stopped])
      if (isStopped) break
      const data = await Promise.race([remote.dump(extent), stopped])
      if (data !== undefined) show(data, command, values, format)
    }
  } catch (error) {
    failure = error
  }
  over.abort()
  const left = await remote.close()
  if (left !== undefined) throw left.after(failure)
  if (failure !== undefined) throw failure
  return 0
}

function show(data: DumpData, command: string, values: Values, format: DumpFormat): void {
  if (values.html !== undefined) {
    writeFileSync(values.html, print(data, 'html'))
    write(`${values.html}\n`)
  } else if (command !== 'top' || values.json || values.format !== undefined) write(print(data, format))
  // On a terminal each look takes the place of the one before.
  else write(`${process.stdout.isTTY ? '\u001b[H\u001b[2J' : ''}${summaryOf(data)}\n`)
}

function addressOf(command: string, rest: readonly string[], values: Values): Address {
  const { port, host = '127.0.0.1' } = values
  if (port !== undefined) {
    if (rest.length > 0) throw new Failure('usage', `${command} takes a process id or --port, not both`)
    const number = count(values, 'port', 0)
    if (number > 65_535) throw new Failure('usage', `--port takes a number up to 65535, not '${port}'`)
    return { host, port: number }
  }
  const [pid, more] = rest
  if (more !== undefined) throw new Failure('usage', `${command} takes one process id`)
  if (pid === undefined) throw new Failure('usage', `${command} takes a process id, or --port`)
  if (!/^[1-9]\d{0,9}$/.test(pid)) throw new Failure('usage', `'${pid}' is not a process id`)
  return { pid: Number(pid) }
}

function count(
  values: Values,
  name: 'limit' | 'frames' | 'timeout' | 'interval' | 'count' | 'port',
  otherwise: number,
): number {
  const text = values[name]
  if (text === undefined) return otherwise
  if (/^\d{1,9}$/.test(text) && (Number(text) > 0 || name === 'frames')) return Number(text)
  throw new Failure('usage', `--${name} takes a number, not '${text}'`)
}

// What reads the output has ended, as in `greenlets ps PID | head -1`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})

main(process.argv.slice(2)).then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    const hint = error instanceof Failure && error.code === 2 ? '; see greenlets --help' : ''
    process.stderr.write(`greenlets: ${messageOf(error)}${hint}\n`)
    process.exitCode = error instanceof Failure ? error.code : 1
  },
)
