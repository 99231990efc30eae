// Compiles what the tests have in C, when it is first asked for.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'

export const ROOT = join(import.meta.dirname, '../..')
const HOME = join(ROOT, 'target/addon')

/** The path of `name`, made from a file of `__test__` that is written in C. */
export function sharedObject(source: string, name: string, options: readonly string[] = []): string {
  const from = join(ROOT, '__test__', source)
  const built = join(HOME, name)
  if (existsSync(built) && statSync(built).mtimeMs > statSync(from).mtimeMs) return built
  mkdirSync(HOME, { recursive: true })
  inPlace(built, (to) =>
    execFileSync('gcc', ['-shared', '-fPIC', '-O1', '-Wall', '-Werror', ...options, '-o', to, from]),
  )
  return built
}

/** Several tests may want it at the same time. */
export function inPlace(file: string, make: (to: string) => void): void {
  const made = `${file}.${process.pid}`
  make(made)
  renameSync(made, file)
}
