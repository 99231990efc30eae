// What failed, in short. It is printed at the end of all stages, because a long log may be cut at its beginning.

import type { Outcome } from './run.ts'

const MOST_LINES = 8
/** Lines that explain one failed test. */
const MOST_DETAILS = 16
const MOST_COLUMNS = 200
/** Lines that say what is wrong, in the output of ava, of nextest, of Node and of V8. */
const TELLING = /^not ok |^\s*(?:Uncaught )?\w*Error\b|^NOT as it must be|FAIL|panicked at|[Ff]atal|corrupt|SIG[A-Z]+/

const failures: string[] = []

/** Remembers a failed run. `what` names it. */
export function rememberFailure(what: string, { end, output }: Outcome) {
  const lines = output.split('\n').filter((line) => line.trim() !== '')
  const telling = lines.flatMap((line, at) => (TELLING.test(line) ? [line, ...details(lines.slice(at + 1))] : []))
  const shown = (telling.length > 0 ? telling : lines).slice(0, MOST_LINES + MOST_DETAILS)
  failures.push([`${what}: ended with ${end}`, ...shown.map((line) => `  ${line.slice(0, MOST_COLUMNS)}`)].join('\n'))
}

/** The block by which TAP explains a `not ok`: from `---` to `...`. Empty where `lines` does not begin with one. */
function details(lines: readonly string[]): string[] {
  if (lines[0]?.trim() !== '---') return []
  const end = lines.findIndex((line) => line.trim() === '...')
  return lines.slice(1, Math.min(end === -1 ? lines.length : end, MOST_DETAILS))
}

export function tellFailures() {
  if (failures.length === 0) return
  console.log(`${failures.length} failed runs, in short:`)
  for (const failure of failures) console.log(failure.replaceAll(/^/gm, '  '))
  console.log()
}
