// Builds and loads a native add-on that does not know greenlets.

import { execFileSync } from 'node:child_process'
import { mkdirSync, renameSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..')
const SOURCE = join(ROOT, '__test__/fixtures/native.rs')
const ADDON = join(ROOT, 'target/fixtures/native.node')

/** See `__test__/fixtures/native.rs`. */
export interface Fixture {
  call<T>(fn: () => T): T
  callCatching<T>(fn: () => T): T
  withHandles<T>(modulo: number, fn: () => T): T
  beforeBoundary<T>(distance: number, fn: () => T): T
  panicAfter(depth: number, fn: () => unknown): number
  abort(): never
  panic(): never
  atCleanup(fn: () => unknown): void
}

export function fixture(): Fixture {
  return createRequire(import.meta.url)(fixturePath()) as Fixture
}

/** The path, for programs that load the add-on themselves. */
export function fixturePath(): string {
  if (modified(ADDON) < modified(SOURCE)) {
    mkdirSync(dirname(ADDON), { recursive: true })
    // Another spec may build it at the same time.
    const own = `${ADDON}.${process.pid}`
    execFileSync('rustc', ['--edition=2024', '-O', '--crate-type=cdylib', '-o', own, SOURCE], { cwd: ROOT })
    renameSync(own, ADDON)
  }
  return ADDON
}

function modified(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
}
