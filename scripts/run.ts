// Runs other programs for the test runner: output kept, time limited, two at once.

import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'

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
  /** Seconds after which the program and everything it started are killed. */
  readonly limit?: number
  /** A file for its output, for programs to which a pipe is not the same: what is written to that arrives later. */
  readonly through?: string
}

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
  const { cwd, env, limit = 600, through } = options
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
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
    }

    let late = false
    const timer = setTimeout(() => {
      late = true
      if (pid !== undefined) killGroup(pid)
    }, limit * 1000)

    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      if (pid !== undefined) running.delete(pid)
      if (file !== undefined) {
        output = readFileSync(through!, 'utf8')
        closeSync(file)
      }
      const end = late ? 'time limit' : (code ?? signal ?? 'unknown end')
      resolve({ end, output, seconds: (performance.now() - started) / 1000 })
    })
  })
}

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
