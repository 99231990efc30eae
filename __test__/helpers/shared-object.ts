// Compiles the C and C++ files of the tests when a test first asks for them.

import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'

export const ROOT = join(import.meta.dirname, '../..')
const HOME = join(ROOT, 'target/addon')

/** Whether this machine has a C++ compiler. A machine that has a C compiler need not have one. */
export const hasCxx = spawnSync('g++', ['--version']).status === 0

/** The path of the shared object `name`, built from a C or C++ file of `__test__`. */
export function sharedObject(source: string, name: string, options: readonly string[] = []): string {
  const from = join(ROOT, '__test__', source)
  const built = join(HOME, name)
  if (existsSync(built) && statSync(built).mtimeMs > statSync(from).mtimeMs) return built
  mkdirSync(HOME, { recursive: true })
  inPlace(built, (to) =>
    execFileSync(source.endsWith('.cc') ? 'g++' : 'gcc', [
      '-shared',
      '-fPIC',
      '-O1',
      '-Wall',
      '-Werror',
      ...options,
      '-o',
      to,
      from,
    ]),
  )
  return built
}

/** Writes to a temporary name first, because several tests may build the same file at the same time. */
export function inPlace(file: string, make: (to: string) => void): void {
  const made = `${file}.${process.pid}`
  make(made)
  renameSync(made, file)
}
