// Backtraces of a program that does not end, taken before the runner ends it: every thread's by gdb, JavaScript's by Node's inspector.

import { execFile, spawn } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

const SECONDS_FOR_GDB = 60
const SECONDS_FOR_INSPECTOR = 5
/** A program may have started many others, of which most wait for the same thing. */
const MOST_PROCESSES = 6

/**
 * Where all processes of a group are, as text. The first Node among them gets a signal that starts its inspector. `output` gives
 * what the group has printed so far.
 */
export async function backtraces(group: number, output: () => string): Promise<string> {
  const processes = membersOf(group)
  const parts: string[] = []
  for (const pid of processes.slice(0, MOST_PROCESSES)) parts.push(`[threads of ${told(pid)}]`, await threads(pid))
  if (processes.length > MOST_PROCESSES)
    parts.push(`[${processes.length - MOST_PROCESSES} more processes not looked at]`)
  const node = processes.find((pid) => programOf(pid) === 'node')
  if (node !== undefined) parts.push(`[JavaScript of ${told(node)}]`, await javascript(node, output))
  return parts.join('\n')
}

/** The leader first. */
function membersOf(group: number): number[] {
  const pids = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
  return pids.filter((pid) => groupOf(pid) === group).sort((a, b) => Number(b === group) - Number(a === group) || a - b)
}

function groupOf(pid: number): number | undefined {
  try {
    // After the name, which is in parentheses: state, parent, group.
    return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')[2])
  } catch {
    return undefined // It has ended.
  }
}

function programOf(pid: number): string {
  try {
    return basename(readlinkSync(`/proc/${pid}/exe`))
  } catch {
    return 'a process that has ended'
  }
}

const told = (pid: number) => `${programOf(pid)}, process ${pid}`

function threads(pid: number): Promise<string> {
  const args = ['-nx', '--batch', '-p', String(pid), '-ex', 'thread apply all bt 50']
  return new Promise((resolve) => {
    execFile('gdb', args, { timeout: SECONDS_FOR_GDB * 1000, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      if (error !== null && 'code' in error && error.code === 'ENOENT') resolve('no backtraces: gdb is not installed')
      else if (!/^#\d/m.test(stdout)) resolve(`gdb found no stack:\n${stderr.trim()}`)
      else
        resolve(
          inShort(
            stdout
              .slice(stdout.indexOf('\nThread '))
              .replace(/^\[Inferior .*$/m, '')
              .trim(),
          ),
        )
    })
  })
}

/** One line for each thread that waits for work, and no frames without a name: a log may be cut, and the other threads must stay in it. */
function inShort(trace: string): string {
  return trace
    .split(/\n(?=Thread )/)
    .map((thread) => {
      const idle = IDLE.exec(thread)
      if (idle !== null) return `${thread.split('\n')[0]} waits for work: ${idle[0]}`
      return thread.replaceAll(/^#\d+ +0x[0-9a-f]+ in \?\? \(\)\n/gm, '').replaceAll(/ \([^()]*futex[^()]*\)/g, '')
    })
    .join('\n')
}

/** How threads of Node's platform, of libuv's pool, of its timer and of its inspector wait for work. */
const IDLE = /(?<=\buv_cond_wait .*\n#\d+ .* in )(?:.*PlatformWorkerThread|worker)\b|DelayedTaskScheduler|StartIoThread/

/** Node starts its inspector at SIGUSR1, also in the middle of a loop, and prints its address. */
async function javascript(pid: number, output: () => string): Promise<string> {
  const before = output().length
  const printed = () => output().slice(before)
  try {
    process.kill(pid, 'SIGUSR1')
  } catch {
    return 'it has ended'
  }
  for (let i = 0; i < SECONDS_FOR_INSPECTOR * 10 && !/listening on ws:|failed:/.test(printed()); i++) await pause(100)
  const [, address] = /listening on ws:\/\/([^/]+)\//.exec(printed()) ?? []
  if (address === undefined) return 'its inspector did not start'

  const client = spawn(process.execPath, ['inspect', address], { stdio: ['pipe', 'pipe', 'ignore'] })
  let said = ''
  client.stdout.setEncoding('utf8').on('data', (chunk: string) => (said += chunk))
  client.on('error', () => {})
  client.stdin.on('error', () => {})
  for (const command of ['pause', 'backtrace']) {
    await pause(1500)
    client.stdin.write(`${command}\n`)
  }
  await pause(1500)
  client.kill('SIGKILL')
  const frames = said.match(/#\d+ .*$/gm)
  return frames?.join('\n') ?? 'no JavaScript runs'
}
