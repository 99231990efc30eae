// Runs all tests, or only the stages named as arguments. Prints the count of each stage, then how many rows of greenlet's own tests
// pass (`conformance: N of N rows`), and as its last line `N passed, N failed`.

import { readFileSync } from 'node:fs'
import { tellConformance } from './conformance.ts'
import { tellFailures } from './failures.ts'
import { check } from './stages/check.ts'
import { ava, moreSpecs } from './stages/ava.ts'
import { matrix, spilled } from './stages/conformance.ts'
import { flags, moreFlags } from './stages/flags.ts'
import { consumers } from './stages/consumers.ts'
import { docs } from './stages/docs.ts'
import { everywhere } from './stages/everywhere.ts'
import { nodeSuite } from './stages/node-suite.ts'
import { faults } from './stages/faults.ts'
import { lane } from './stages/lane.ts'
import { ownSwitch } from './stages/own-switch.ts'
import { release } from './stages/release.ts'
import { arm64Whole, platforms } from './stages/platforms.ts'
import { rust } from './stages/rust.ts'
import { rustExtras, rustLong } from './stages/rust-extras.ts'
import { services } from './stages/services.ts'
import { soak } from './stages/soak.ts'
import { sum, type Tally } from './tally.ts'
import { types } from './stages/types.ts'

const STAGES: Readonly<Record<string, () => Promise<Tally>>> = {
  rust,
  'rust-extras': rustExtras,
  ava,
  spilled,
  lane,
  'own-switch': ownSwitch,
  docs,
  everywhere,
  consumers,
  services,
  release,
  types,
  faults,
  flags,
  platforms,
  arm64: arm64Whole,
  matrix,
  'node-suite': nodeSuite,
  soak,
  'more-flags': moreFlags,
  'more-specs': moreSpecs,
  'rust-long': rustLong,
  check,
}
/**
 * They run only where they are named: those of `make soak`, since they take long, one in `make test-arm64`, and the short
 * one in `make check`.
 */
const NAMED_ONLY = ['matrix', 'node-suite', 'soak', 'more-flags', 'more-specs', 'rust-long', 'arm64', 'check']

const names =
  process.argv.length > 2 ? process.argv.slice(2) : Object.keys(STAGES).filter((name) => !NAMED_ONLY.includes(name))
const tallies: Tally[] = []
for (const name of names) {
  const stage = STAGES[name]
  if (stage === undefined) throw new Error(`no stage '${name}'; there are: ${Object.keys(STAGES).join(', ')}`)
  tallies.push(await timed(name, stage))
}

const { passed, failed } = sum(tallies)
process.exitCode = failed > 0 ? 1 : 0
tellFailures()
tellConformance()
console.log(`${passed} passed, ${failed} failed`)

async function timed(name: string, stage: () => Promise<Tally>): Promise<Tally> {
  console.log(`${name}:`)
  const started = performance.now()
  const cpuBefore = cpuSeconds()
  const tally = await counts(stage)
  const { passed, failed } = tally
  const seconds = ((performance.now() - started) / 1000).toFixed(0)
  const cpu = (cpuSeconds() - cpuBefore).toFixed(0)
  console.log(`${name}: ${passed} of ${passed + failed} tests passed in ${seconds} s (${cpu} s of CPU time)\n`)
  return tally
}

/** A stage that throws, or that runs no test, counts as a failed test. */
async function counts(stage: () => Promise<Tally>): Promise<Tally> {
  try {
    const tally = await stage()
    if (tally.passed + tally.failed > 0) return tally
    console.log('  ran no test')
  } catch (error) {
    console.log('  broke:', error)
  }
  return { passed: 0, failed: 1 }
}

/** The CPU time of this process and of all programs that it ran, which other work on the machine changes little. */
function cpuSeconds(): number {
  // The fields after the name, which is in parentheses; utime, stime, cutime and cstime are fields 14 to 17, in ticks of 10 ms.
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1)!.split(' ')
  return fields.slice(11, 15).reduce((total, ticks) => total + Number(ticks), 0) / 100
}
