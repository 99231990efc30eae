/** `greenlets run script.js`: the script's top level runs in a greenlet. */

import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { location } from '../native/addon.ts'
import { Failure } from './failure.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'] as const

/** Starts Node.js with `greenlets/main`. The promise gives its exit code. */
export function run(args: readonly string[]): Promise<number> {
  const script = args.findIndex((arg) => !arg.startsWith('-'))
  if (script === -1) throw new Failure('usage', 'greenlets run takes a script')
  const loader = location.startsWith('file:') ? fileURLToPath(location) : location
  const main = pathToFileURL(loader.replace(/native[\\/]load\.cjs$/, 'main.js')).href
  const child = spawn(process.execPath, [...process.execArgv, '--import', main, ...args], { stdio: 'inherit' })
  // The terminal sends Ctrl-C to both. The child decides what it does, and its end is that of this program.
  for (const name of SIGNALS) process.on(name, () => name !== 'SIGINT' && child.kill(name))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
  })
}
