// Runs other programs for the test runner: keeps their output, limits their time, runs two at once.

import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { backtraces } from './hanging.ts'

export interface Outcome {
  /** Exit code, signal name or 'time limit'. */
  readonly end: number | string
  /** Standard output and standard error as they came. */
  readonly output: string
  readonly seconds: number
}

export interface RunOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  /** Seconds after which the program and everything it started are killed. The output then ends with their backtraces. */
  readonly limit?: number
  /**
   * For a program that may hang when all its work is done: tells from its output whether it is. Then the program is killed some
   * seconds later, without backtraces, and ends with 'time limit'.
   */
  readonly done?: (output: string) => boolean
  /** A file for its output, for programs that behave differently with a pipe, which delivers later than a file. */
  readonly through?: string
}

/** What a program gets to end by itself when its work is done. */
const SECONDS_TO_END = 10

const running = new Set<number>()

// Programs lead process groups of their own, so an interrupt from the terminal reaches only us.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    for (const pid of running) killGroup(pid)
    process.exit(1)
  })
}

function killGroup(pid: number) {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It ended by itself meanwhile.
  }
}

export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { cwd, env, limit = 600, done, through } = options
  const file = through === undefined ? undefined : openSync(through, 'w+')
  const started = performance.now()
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      ...(cwd !== undefined && { cwd }),
      ...(env !== undefined && { env }),
      detached: true,
      stdio: ['ignore', file ?? 'pipe', file ?? 'pipe'],
    })
    const pid = child.pid
    if (pid !== undefined) running.add(pid)

    let output = ''
    let late = false
    let ending: NodeJS.Timeout | undefined
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (chunk: string) => {
        output += chunk
        if (pid === undefined || done?.(output) !== true) return
        clearTimeout(ending)
        ending = setTimeout(() => {
          late = true
          killGroup(pid)
        }, SECONDS_TO_END * 1000)
      })
    }

    const soFar = () => (file === undefined ? output : readFileSync(through!, 'utf8'))
    let where = ''
    const timer = setTimeout(async () => {
      late = true
      if (pid === undefined) return
      where = await backtraces(pid, soFar).catch((error: unknown) => `no backtraces: ${String(error)}`)
      killGroup(pid)
    }, limit * 1000)

    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      clearTimeout(ending)
      if (pid !== undefined) running.delete(pid)
      if (file !== undefined) {
        output = soFar()
        closeSync(file)
      }
      if (where !== '') output += `\n${where}`
      const end = late ? 'time limit' : (code ?? signal ?? 'unknown end')
      resolve({ end, output, seconds: (performance.now() - started) / 1000 })
    })
  })
}

/** Variables of the environment as a shell would have them: `A=1 B=2`. */
export const variablesText = (environment: Readonly<Record<string, string>>): string =>
  Object.entries(environment)
    .map((pair) => pair.join('='))
    .join(' ')

/** Maps over `items` with two runs at a time (the machines this runs on have two cores); results keep their order. */
export async function twoAtOnce<Item, Result>(items: readonly Item[], work: (item: Item) => Promise<Result>) {
  const results: Result[] = []
  const queue = items.entries()
  const worker = async () => {
    for (const [index, item] of queue) results[index] = await work(item)
  }
  await Promise.all([worker(), worker()])
  return results
}
