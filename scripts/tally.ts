// Counts tests and prints the counts.

import { rememberFailure } from './failures.ts'
import type { Outcome } from './run.ts'

export interface Tally {
  readonly passed: number
  readonly failed: number
}

export const sum = (tallies: readonly Tally[]): Tally => ({
  passed: tallies.reduce((total, { passed }) => total + passed, 0),
  failed: tallies.reduce((total, { failed }) => total + failed, 0),
})

/** Prints what a run counted. A run that ended badly without counting a failure is itself a failure. */
export function counted(what: string, outcome: Outcome, { passed, failed }: Tally): Tally {
  const tally = { passed, failed: failed === 0 && outcome.end !== 0 ? 1 : failed }
  console.log(`  ${what}: ${tally.passed} passed, ${tally.failed} failed (${outcome.seconds.toFixed(1)} s)`)
  if (tally.failed > 0) {
    console.log(told(outcome))
    rememberFailure(what, outcome)
  }
  return tally
}

/** Some programs are one test each: such a program ends with exit code 0 and prints `ok` as its last line. */
export const saysOk = ({ end, output }: Outcome) => end === 0 && endsWithOk(output)
export const endsWithOk = (output: string) => output.trimEnd().split('\n').at(-1) === 'ok'

/** Counts such a program. */
export function countedProgram(what: string, outcome: Outcome): Tally {
  const good = saysOk(outcome)
  return counted(what, outcome, { passed: Number(good), failed: Number(!good) })
}

/** Everything that a failed run printed, and how it ended. */
export const told = ({ end, output }: Outcome) => `${output.trimEnd()}\n[ended with ${end}]`.replaceAll(/^/gm, '    | ')
