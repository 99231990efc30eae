// Counts which of greenlet's own tests pass here: rows of `__test__/conformance/rows.ts`, found by the titles of the tests that passed.

import { ROWS } from '../__test__/conformance/rows.ts'

/** The rows that passed, once for each configuration that a stage has run. */
const configurations: Record<'ava' | 'rust', Set<string>[]> = { ava: [], rust: [] }
/** The rows that failed in a run of some specs only. */
const failedElsewhere = new Set<string>()

/** From a run of ava with --tap: `ok 7 - conformance › throw › 151 kill: ...`. */
export function recordSpecs(output: string): void {
  configurations.ava.push(rowsOf(output, 'ok'))
}

/** The same for a run of some specs only: rows that it did not run are not missing. */
export function recordSomeSpecs(output: string): void {
  for (const row of rowsOf(output, 'not ok')) failedElsewhere.add(row)
}

function rowsOf(output: string, verdict: 'ok' | 'not ok'): Set<string> {
  const found = output.matchAll(new RegExp(`^${verdict} \\d+ - (?:.+ › )?(\\d+) \\w+: .*$`, 'gm'))
  return new Set([...found].filter(([line]) => !/# (?:SKIP|TODO)\b/.test(line)).map(([, row]) => row!))
}

/** From a run of nextest: `PASS [   0.004s] greenlets-core::conformance row_16_switch`. */
export function recordRust(output: string): void {
  const passed = output.matchAll(/^\s*PASS \[.*\] .*::conformance row_(\d+)_\w+$/gm)
  configurations.rust.push(new Set([...passed].map(([, row]) => row!)))
}

/** Prints how many of the rows that apply have passed on everything that they ran on. Prints nothing where none ran. */
export function tellConformance(): void {
  const ran = Object.values(configurations).filter((sets) => sets.length > 0)
  if (ran.length === 0) return
  const wanted = ROWS.filter(({ kind }) => kind === 'A' || kind === 'M').map(({ row }) => String(row))
  const passedIn = (row: string) => ran.some((sets) => sets.every((passed) => passed.has(row)))
  const missing = wanted.filter((row) => failedElsewhere.has(row) || !passedIn(row))
  if (missing.length > 0) console.log(`rows that did not pass, or did not run: ${missing.join(' ')}`)
  console.log(`conformance: ${wanted.length - missing.length} of ${wanted.length} rows`)
}
