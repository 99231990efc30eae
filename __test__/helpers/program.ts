// Runs a program in its own process, for tests that end, abort or block a process.

import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..')
/** A process that takes longer than this is considered blocked. */
const LIMIT_MS = 60_000
/** Set by the test stages (scripts/stages/ava.ts): programs load what was built. */
const BUILT = process.env['TEST_BUILT'] === '1'
/** A Node.js that runs TypeScript without a loader starts twice as fast. */
const LOADER = 'typescript' in process.features ? [] : ['--import=@oxc-node/core/register']

/** How a program ended. */
export interface Ending {
  /** The exit code; null if a signal ended the process, as for a crash or the time limit. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** The ending of a program that printed `stdout` and had no error. */
export function printed(stdout: string): Ending {
  return { code: 0, signal: null, stdout, stderr: '' }
}

/**
 * Runs the text of an ES module in the folder of the repository. All exports of greenlets are in scope. `before` runs before
 * greenlets are loaded; `env` are additional environment variables.
 */
export async function runProgram(
  source: string,
  { flags = [] as readonly string[], before = '', env = {} as Readonly<Record<string, string>> } = {},
): Promise<Ending> {
  const text = tested(`${before}
const greenlets = await import('./js/index.ts')
const { Greenlet, GreenletExit, GreenletError, StaleFrameError, UnsupportedRuntimeError, spawn, wait, sleep, configure, runtimeInfo } = greenlets
const main = Greenlet.main
${source}`)
  // Helpers of the tests load the TypeScript.
  const loader = /\.ts'|__test__/.test(text) ? LOADER : []
  return runNode([...flags, '--no-warnings', ...loader, '--input-type=module', '--eval', text], env)
}

/** The program with what it imports of this package: the TypeScript, or what was built from it. */
function tested(program: string): string {
  return BUILT ? program.replaceAll(/'\.\/js\/([\w/-]+)\.ts'/g, "'./dist/$1.js'") : program
}

/** Runs a module of the tests. */
export function runFile(file: string): Promise<Ending> {
  return runNode(['--no-warnings', ...LOADER, join(ROOT, '__test__', file)])
}

/** `input` goes to stdin. */
export async function runNode(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  input: string | undefined = undefined,
): Promise<Ending> {
  await processor()
  try {
    return await start(args, env, input)
  } finally {
    free++
    queue.shift()?.()
  }
}

/** As many processes at a time as there are processors: a process that waits for a processor looks like a blocked one. */
let free = Math.max(2, availableParallelism())
const queue: (() => void)[] = []

/** Resolves when fewer processes run than there are processors. */
function processor(): Promise<void> {
  return new Promise((resolve) => {
    const start = (): void => {
      free--
      resolve()
    }
    if (free > 0) start()
    else queue.push(start)
  })
}

function start(
  args: readonly string[],
  more: Readonly<Record<string, string>>,
  input: string | undefined,
): Promise<Ending> {
  const env = { ...process.env, ...more }
  const child = spawn(process.execPath, args, { cwd: ROOT, env, timeout: LIMIT_MS, killSignal: 'SIGKILL' })
  if (input !== undefined) child.stdin.end(input)
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
}
