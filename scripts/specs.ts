// Says which spec files there are, and which of them a run needs that does not run all.

import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const ROOT = resolve(import.meta.dirname, '..')
const FOLDERS = ['__test__', 'examples']

/** All of them, as paths in the repository. */
export function allSpecs(): string[] {
  return FOLDERS.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.spec.ts'))
      .map((path) => join(folder, path))
      .sort(),
  )
}

const ASYNC_CONTEXT = /AsyncLocalStorage|AsyncResource|async_hooks|gr_context|opentelemetry/
/** Waits resume in a context, too. */
const WAITS = /express|\bwait\(|\bsleep\(/
/** What greenlets leave in memory may be a context. */
const LEAKS = /\/(?:leaks|leakcheck|left-behind)\.spec\.ts$/

/**
 * Whether a spec can tell Node's two implementations of AsyncLocalStorage apart: its text uses async context or waits, or it looks
 * for what greenlets leave in memory.
 */
export const observesContext = (spec: string): boolean => isAboutContext(spec) || WAITS.test(textOf(spec))

/** Whether a spec names async context, or looks for what greenlets leave in memory. */
export const isAboutContext = (spec: string): boolean => LEAKS.test(spec) || ASYNC_CONTEXT.test(textOf(spec))

const textOf = (spec: string): string => readFileSync(join(ROOT, spec), 'utf8')

/**
 * Specs that do the same thing again and again for seconds, to find what happens rarely or what leaks slowly. `make check` leaves
 * them out; `make test` runs them.
 */
const REPEATING = [
  '__test__/property/',
  '__test__/interrupts/',
  '__test__/soak/',
  '__test__/memory.spec.ts',
  '__test__/leakcheck.spec.ts',
  '__test__/conformance/gc.spec.ts',
  '__test__/conformance/leaks.spec.ts',
  '__test__/conformance/weakref.spec.ts',
  '__test__/conformance/greenlet-dealloc.spec.ts',
]

export const repeats = (spec: string): boolean => REPEATING.some((path) => spec.startsWith(path))

/** Entries of the list above that no longer name a spec. */
export const unknownRepeating = (specs: readonly string[]): string[] =>
  REPEATING.filter((path) => !specs.some((spec) => spec.startsWith(path)))
