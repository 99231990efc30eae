// The torture programs, on every Node, under flags that make V8 move, drop or recompile what greenlets relies on.

import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Node, testedNodes } from '../nodes.ts'
import { run, twoAtOnce } from '../run.ts'
import { saysOk, sum, type Tally, told } from '../tally.ts'

const PROGRAMS = resolve(import.meta.dirname, '../../__test__/torture')
const SECONDS_PER_PROGRAM = 120

/** As users run Node, and then each flag beside --expose-gc, so that a program may ask for a collection. */
const FLAGS = [
  [],
  ['--expose-gc'],
  ['--expose-gc', '--stress-compaction'],
  ['--expose-gc', '--gc-interval=500'],
  ['--expose-gc', '--stress-scavenge=50'],
  ['--expose-gc', '--stress-incremental-marking'],
  ['--expose-gc', '--stress-concurrent-allocation'],
  ['--expose-gc', '--deopt-every-n-times=50'],
  ['--expose-gc', '--always-sparkplug'],
  ['--expose-gc', '--maglev'],
  ['--expose-gc', '--no-opt'],
  ['--expose-gc', '--max-lazy'],
  ['--expose-gc', '--jitless'],
  ['--expose-gc', '--single-threaded'],
]

export async function flags(): Promise<Tally> {
  const programs = readdirSync(PROGRAMS).filter((file) => file.endsWith('.mjs'))
  const tallies: Tally[] = []
  for (const node of testedNodes()) {
    for (const set of FLAGS) tallies.push(await tortured(node, set, programs))
  }
  return sum(tallies)
}

async function tortured({ bin, version }: Node, set: readonly string[], programs: readonly string[]): Promise<Tally> {
  const what = ['node', version, ...set].join(' ')
  const probe = await run(bin, [...set, '-e', '0'], { limit: SECONDS_PER_PROGRAM })
  if (probe.output.includes('bad option')) {
    console.log(`  ${what}: n/a, this Node does not know the flag (${programs.length} programs not run)`)
    return { passed: 0, failed: 0 }
  }

  const started = performance.now()
  const outcomes = await twoAtOnce(programs, async (program) => {
    const outcome = await run(bin, [...set, join(PROGRAMS, program)], { limit: SECONDS_PER_PROGRAM })
    return { program, outcome }
  })
  const failures = outcomes.filter(({ outcome }) => !saysOk(outcome))

  const tally = { passed: outcomes.length - failures.length, failed: failures.length }
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(`  ${what}: ${tally.passed} passed, ${tally.failed} failed (${seconds} s)`)
  for (const { program, outcome } of failures) console.log(`    ${program}\n${told(outcome)}`)
  return tally
}
