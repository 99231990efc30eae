// What failed, in short. It is printed at the end of all stages, because a long log may be cut at its beginning.

import type { Outcome } from './run.ts'

const MOST_LINES = 8
const MOST_COLUMNS = 200
/** Lines that say what is wrong, in the output of ava, of nextest, of Node and of V8. */
const TELLING = /^not ok |^\s*(?:Uncaught )?\w*Error\b|^NOT as it must be|FAIL|panicked at|[Ff]atal|corrupt|SIG[A-Z]+/

const failures: string[] = []

/** Remembers a failed run. `what` names it. */
export function rememberFailure(what: string, { end, output }: Outcome) {
  const lines = output.split('\n').filter((line) => line.trim() !== '')
  const telling = lines.filter((line) => TELLING.test(line))
  const shown = (telling.length > 0 ? telling : lines).slice(0, MOST_LINES)
  failures.push([`${what}: ended with ${end}`, ...shown.map((line) => `  ${line.slice(0, MOST_COLUMNS)}`)].join('\n'))
}

export function tellFailures() {
  if (failures.length === 0) return
  console.log(`${failures.length} failed runs, in short:`)
  for (const failure of failures) console.log(failure.replaceAll(/^/gm, '  '))
  console.log()
}
