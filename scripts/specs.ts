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
 * Specs of code that is built on greenlets, and of their texts. They rely on Node's documented API alone, so `make test` runs them on the
 * oldest and the newest Node, and `make soak` on all.
 */
const BUILT_ON_GREENLETS = [
  '__test__/adapters/',
  '__test__/inspect/',
  '__test__/tools/',
  '__test__/bad-input.spec.ts',
  '__test__/blocking.spec.ts',
  '__test__/builds.spec.ts',
  '__test__/cleanups.spec.ts',
  '__test__/cli.spec.ts',
  '__test__/comparing.spec.ts',
  '__test__/copies.spec.ts',
  '__test__/demo.spec.ts',
  '__test__/description.spec.ts',
  '__test__/docstrings.spec.ts',
  '__test__/dump.spec.ts',
  '__test__/fail.spec.ts',
  '__test__/fibers/',
  '__test__/hostile.spec.ts',
  '__test__/interrupt.spec.ts',
  '__test__/kill-all.spec.ts',
  '__test__/limits.spec.ts',
  '__test__/loaders.spec.ts',
  '__test__/main.spec.ts',
  '__test__/parents.spec.ts',
  '__test__/quiet-exits.spec.ts',
  '__test__/spawn-with.spec.ts',
  '__test__/testing.spec.ts',
  'examples/',
]

export const isBuiltOnGreenlets = (spec: string): boolean => BUILT_ON_GREENLETS.some((path) => spec.startsWith(path))

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

/** Entries of the two lists above that no longer name a spec. */
export const unknownEntries = (specs: readonly string[]): string[] =>
  [...BUILT_ON_GREENLETS, ...REPEATING].filter((path) => !specs.some((spec) => spec.startsWith(path)))
