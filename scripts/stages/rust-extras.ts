// Tests the core with tools of their own, which the Makefile installs: the oldest compiler and cargo deny, and for `make soak` libFuzzer
// and an emulator of another processor, which take four minutes each on a new machine. The targets `msrv`, `deny`, `fuzz`
// and `aarch64` of the Makefile run one of them alone.

import { whyNotDebian } from '../debian.ts'
import { type Outcome, run } from '../run.ts'
import { counted, sum, type Tally } from '../tally.ts'
import { libtest } from './rust.ts'

const SECONDS_WITH_BUILD = 1800
/** Of fuzzing. `make soak` sets the variable to hours. */
const FUZZ_SECONDS = Number(process.env['FUZZ_TOTAL'] || 60)
const NONE: Tally = { passed: 0, failed: 0 }

export async function rustExtras(): Promise<Tally> {
  return sum([await msrv(), await denied(), await vulnerabilities()])
}

/** For `make soak`. */
export async function rustLong(): Promise<Tally> {
  return sum([await fuzzed(), await aarch64()])
}

async function msrv(): Promise<Tally> {
  return asOne('the oldest compiler', await make('msrv'))
}

async function denied(): Promise<Tally> {
  return asOne('cargo deny: bans, licences, sources', await make('deny', 'DENIED=bans licenses sources'))
}

/** Apart, because the list of them is on GitHub, which not every machine reaches. */
async function vulnerabilities(): Promise<Tally> {
  const what = 'cargo deny: vulnerabilities'
  const outcome = await make('deny', 'DENIED=advisories')
  if (!outcome.output.includes('failed to fetch advisory database')) return asOne(what, outcome)
  console.log(`  ${what}: n/a, their list cannot be fetched from github.com (1 test not made)`)
  return NONE
}

async function fuzzed(): Promise<Tally> {
  const outcome = await make('fuzz', `FUZZ_TOTAL=${FUZZ_SECONDS}`)
  const [, programs = '0'] = /^stat::number_of_executed_units:\s*(\d+)/m.exec(outcome.output) ?? []
  const tally = outcome.end === 0 && Number(programs) === 0 ? { passed: 0, failed: 1 } : passes(outcome)
  return counted(`libFuzzer, ${FUZZ_SECONDS} s, ${programs} programs`, outcome, tally)
}

async function aarch64(): Promise<Tally> {
  const what = 'aarch64, emulated'
  const reason = whyNotDebian()
  if (reason !== undefined) {
    console.log(`  ${what}: n/a, the emulator is a package of Debian, and ${reason}`)
    return NONE
  }
  const outcome = await make('aarch64')
  return counted(what, outcome, libtest(outcome.output))
}

const asOne = (what: string, outcome: Outcome) => counted(what, outcome, passes(outcome))
const passes = ({ end }: Outcome): Tally => (end === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 })

const make = (target: string, ...variables: readonly string[]) =>
  run('make', ['--no-print-directory', target, ...variables], { limit: SECONDS_WITH_BUILD + FUZZ_SECONDS })
