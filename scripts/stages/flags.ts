// The torture programs, on every Node, under flags that make V8 move, drop or recompile what greenlets relies on.

import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Node, testedNodes } from '../nodes.ts'
import { run, twoAtOnce } from '../run.ts'
import { saysOk, sum, type Tally, told } from '../tally.ts'

const PROGRAMS = resolve(import.meta.dirname, '../../__test__/torture')
const SECONDS_PER_PROGRAM = 120

/** As users run Node, and then each flag beside --expose-gc, so that a program may ask for a collection. */
export const FLAGS: readonly (readonly string[])[] = [
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

/** How greenlets keeps stacks, to the extreme, and a flag that shows it: the other lane, few slots, a copy at every switch. */
const STACKS: readonly (readonly [environment: Readonly<Record<string, string>>, flag: string])[] = [
  [{ GREENLETS_LANE: 'locker' }, '--stress-scavenge=50'],
  [{ GREENLETS_SLOTS: '1', GREENLETS_VERIFY_GC: '1' }, '--stress-scavenge=50'],
  [{ GREENLETS_SLOTS: '2', GREENLETS_POISON: '1' }, '--gc-interval=500'],
  [{ GREENLETS_SPILL: 'always', GREENLETS_POISON: 'protect' }, '--deopt-every-n-times=50'],
]

/** It is about spilling, which the locker lane does not do. */
const FAST_ONLY = 'spilling.mjs'

/**
 * With this flag V8 allocates in a task that waits for a collection on the thread it allocates for; Node waits for all tasks
 * when a thread ends. So plain Node hangs now and then when it exits, and more often when a Worker does. A program that has
 * said ok and then hangs has passed; programs with Workers say nothing about us.
 */
export const HANGS_AT_EXIT = '--stress-concurrent-allocation'
const SECONDS_WITH_HANG = 45
const WITH_WORKERS = ['workers.mjs', 'terminated.mjs']

export async function flags(): Promise<Tally> {
  const programs = readdirSync(PROGRAMS).filter((file) => file.endsWith('.mjs'))
  const tallies: Tally[] = []
  for (const node of testedNodes()) {
    for (const set of FLAGS) tallies.push(await tortured(node, set, programs))
    for (const [environment, flag] of STACKS) {
      const some = programs.filter((program) => environment['GREENLETS_LANE'] === undefined || program !== FAST_ONLY)
      tallies.push(await tortured(node, ['--expose-gc', flag], some, environment))
    }
  }
  return sum(tallies)
}

/** Whether the Node has all these flags. */
export async function knows({ bin }: Node, set: readonly string[]): Promise<boolean> {
  const probe = await run(bin, [...set, '-e', '0'], { limit: SECONDS_PER_PROGRAM })
  return !probe.output.includes('bad option')
}

async function tortured(
  node: Node,
  set: readonly string[],
  programs: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Tally> {
  const { bin, version } = node
  const variables = Object.entries(environment).map((pair) => pair.join('='))
  const what = [...variables, 'node', version, ...set].join(' ')
  const env = { ...process.env, ...environment }
  if (!(await knows(node, set))) {
    console.log(`  ${what}: n/a, this Node does not know the flag (${programs.length} programs not run)`)
    return { passed: 0, failed: 0 }
  }

  const mayHang = set.includes(HANGS_AT_EXIT)
  const sensible = programs.filter((program) => !mayHang || !WITH_WORKERS.includes(program))
  if (sensible.length < programs.length) console.log(`  ${what}: n/a for ${WITH_WORKERS.join(' and ')}`)

  const started = performance.now()
  const limit = mayHang ? SECONDS_WITH_HANG : SECONDS_PER_PROGRAM
  const outcomes = await twoAtOnce(sensible, async (program) => {
    const outcome = await run(bin, [...set, join(PROGRAMS, program)], { limit, env })
    const hung = mayHang && outcome.end === 'time limit'
    if (hung) console.log(`  ${what}: ${program} hung at exit, as plain Node does`)
    return { program, outcome: hung ? { ...outcome, end: 0 } : outcome }
  })
  const failures = outcomes.filter(({ outcome }) => !saysOk(outcome))

  const tally = { passed: outcomes.length - failures.length, failed: failures.length }
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(`  ${what}: ${tally.passed} passed, ${tally.failed} failed (${seconds} s)`)
  for (const { program, outcome } of failures) console.log(`    ${program}\n${told(outcome)}`)
  return tally
}
