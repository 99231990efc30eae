// Runs the torture programs on every Node under flags that make V8 move, drop or recompile what greenlets relies on.

import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Node, testedNodes } from '../nodes.ts'
import { rememberFailure } from '../failures.ts'
import { type Outcome, run, twoAtOnce, variablesText } from '../run.ts'
import { endsWithOk, saysOk, type Tally, told } from '../tally.ts'

const PROGRAMS = resolve(import.meta.dirname, '../../__test__/torture')
const SECONDS_PER_PROGRAM = 120

/** No flag, as users run Node; then each flag together with --expose-gc, so that a program can ask for a collection. */
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

/** Extreme settings for how greenlets keeps stacks, each with a flag under which mistakes show: the other lane, few slots, a copy at every switch. */
const STACKS: readonly (readonly [environment: Readonly<Record<string, string>>, flag: string])[] = [
  [{ GREENLETS_LANE: 'locker' }, '--stress-scavenge=50'],
  [{ GREENLETS_SLOTS: '1', GREENLETS_VERIFY_GC: '1' }, '--stress-scavenge=50'],
  [{ GREENLETS_SLOTS: '2', GREENLETS_POISON: '1' }, '--gc-interval=500'],
  [{ GREENLETS_SPILL: 'always', GREENLETS_POISON: 'protect' }, '--deopt-every-n-times=50'],
  [{ GREENLETS_SLOTS: '2' }, '--compact-on-every-full-gc'],
]

/** For `make soak`: more ways in which stacks are kept and left out of collections. */
const MORE_STACKS: typeof STACKS = [
  [{ GREENLETS_SCAN: 'young' }, '--stress-compaction'],
  [{ GREENLETS_SCAN: 'all' }, '--stress-incremental-marking'],
  [{ GREENLETS_SPILL: 'always' }, '--stress-scavenge=50'],
  [{ GREENLETS_SLOTS: '8', GREENLETS_VERIFY_GC: '1' }, '--compact-on-every-full-gc'],
]

/** It tests spilling, which the locker lane does not do. */
const FAST_ONLY = 'spilling.mjs'

/**
 * With this flag V8 allocates in a task that waits for a collection on the thread it allocates for, and Node waits for all tasks
 * when a thread ends. So plain Node hangs now and then when it exits, and more often when a Worker does. A program that has
 * printed ok and then hangs has passed. Programs with Workers are not run: they could not tell this hang from one of ours.
 */
export const HANGS_AT_EXIT = '--stress-concurrent-allocation'
const WITH_WORKERS = ['workers.mjs', 'terminated.mjs']

/**
 * What is not run because other runs prove it; each reason stands in the output. The table in CONTRIBUTING.md says what those are.
 * `make soak` runs all of it.
 *
 * Programs with Workers take twice as long as all others together. They test the end of a thread, for which it only matters which kinds
 * of frames lie on its stacks: those that V8 chooses, interpreted ones (--jitless), those of the first compiler (--always-sparkplug), and
 * deoptimised ones (--deopt-every-n-times, with GREENLETS_SPILL). Besides, they run in the other lane.
 */
const ENDS_OF_THREADS = ['--expose-gc', '--jitless', '--always-sparkplug']
const ENDS_OF_THREADS_WITH = ['GREENLETS_LANE', 'GREENLETS_SPILL']
/**
 * They make V8 compile in another way, or use other threads. Each runs on every second Node: the first one on 20 and 24, the next one on
 * 22 and 26.
 */
const IN_TURNS = [
  '--stress-concurrent-allocation',
  '--deopt-every-n-times=50',
  '--always-sparkplug',
  '--maglev',
  '--no-opt',
  '--max-lazy',
  '--jitless',
  '--single-threaded',
]
/** Without --expose-gc a program does the same, but for the collections that it asks for. */
const WITHOUT_FLAGS = [20, 26]

interface Setting {
  readonly node: Node
  readonly set: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly programs: readonly string[]
}

type Named = Partial<Setting> & Pick<Setting, 'node' | 'set'>

export async function flags(): Promise<Tally> {
  return torture(await settings(STACKS, false))
}

/** The same without leaving out programs with Workers, and with more settings for stacks. */
export async function moreFlags(): Promise<Tally> {
  return torture(await settings([...STACKS, ...MORE_STACKS], true))
}

async function settings(stacks: typeof STACKS, whole: boolean): Promise<Setting[]> {
  const all = readdirSync(PROGRAMS).filter((file) => file.endsWith('.mjs'))
  const found: Setting[] = []
  for (const node of testedNodes()) {
    for (const set of FLAGS) found.push({ node, set, environment: {}, programs: await needed(node, set, all, whole) })
    for (const [environment, flag] of stacks) {
      const setting = { node, set: ['--expose-gc', flag], environment }
      const possible = all.filter((program) => environment['GREENLETS_LANE'] === undefined || program !== FAST_ONLY)
      const endsThreads = whole || ENDS_OF_THREADS_WITH.some((name) => name in environment)
      found.push({ ...setting, programs: endsThreads ? possible : leftOut(setting, possible, WITH_WORKERS, IN_SOAK) })
    }
  }
  return found
}

async function torture(settings: readonly Setting[]): Promise<Tally> {
  // One queue for all, so that the end of one setting leaves no core idle.
  const pending = settings.map((setting) => ({ ...setting, started: 0, outcomes: new Map<string, Outcome>() }))
  const runs = pending.flatMap((setting) => setting.programs.map((program) => ({ setting, program })))
  await twoAtOnce(runs, async ({ setting, program }) => {
    setting.started ||= performance.now()
    setting.outcomes.set(program, await tortured(setting, program))
    if (setting.outcomes.size === setting.programs.length) tell(setting)
  })
  const outcomes = pending.flatMap(({ outcomes }) => [...outcomes.values()])
  const passed = outcomes.filter(saysOk).length
  return { passed, failed: outcomes.length - passed }
}

/** The programs to run with these flags. Prints which are not, and why. */
async function needed(
  node: Node,
  set: readonly string[],
  all: readonly string[],
  whole: boolean,
): Promise<readonly string[]> {
  const notRun = (some: readonly string[], why: string) => leftOut({ node, set }, all, some, why)
  const flag = set.at(-1)
  if (flag === undefined && !WITHOUT_FLAGS.includes(node.major))
    return notRun(all, `the same as with --expose-gc; Node ${WITHOUT_FLAGS.join(' and ')} run without flags`)
  if (!(await knows(node, set))) return notRun(all, 'this Node does not know the flag')
  if (!whole && IN_TURNS.includes(flag ?? '') && (IN_TURNS.indexOf(flag!) + node.major / 2) % 2 !== 0)
    return notRun(all, 'which run with it on every second Node, and in `make soak` on all')
  if (await isDefault(node, flag)) return notRun(all, 'the same as without the flag, which is the default of this Node')
  if (flag === HANGS_AT_EXIT) return notRun(WITH_WORKERS, 'plain Node hangs with Workers and this flag')
  if (!whole && !ENDS_OF_THREADS.includes(flag ?? '')) return notRun(WITH_WORKERS, IN_SOAK)
  return all
}

const IN_SOAK = 'which run under other flags, and under all of them in `make soak`'

/** The programs without `some`. Prints that these are not run, and why. */
function leftOut(setting: Named, all: readonly string[], some: readonly string[], why: string): readonly string[] {
  const which = some.length === all.length ? `all ${all.length} programs` : some.join(' and ')
  console.log(`  ${named(setting)}: not run: ${which}, ${why}`)
  return all.filter((program) => !some.includes(program))
}

/** Whether the Node has all these flags. */
export async function knows({ bin }: Node, set: readonly string[]): Promise<boolean> {
  const probe = await run(bin, [...set, '-e', '0'], { limit: SECONDS_PER_PROGRAM })
  return !probe.output.includes('bad option')
}

/** Whether V8 says that it has this flag set by itself. */
async function isDefault({ bin }: Node, flag: string | undefined): Promise<boolean> {
  const { output } = await run(bin, ['--v8-options'], { limit: SECONDS_PER_PROGRAM })
  const lines = output.split('\n')
  const line = lines.findIndex((line) => line.trimStart().startsWith(`${flag} (`))
  return line >= 0 && lines[line + 1]!.trimEnd().endsWith(`default: ${flag}`)
}

function named({ node, set, environment = {} }: Named): string {
  return [variablesText(environment), 'node', node.version, ...set].filter((part) => part !== '').join(' ')
}

async function tortured(setting: Setting, program: string): Promise<Outcome> {
  const { node, set, environment } = setting
  const mayHang = set.includes(HANGS_AT_EXIT)
  const env = { ...process.env, ...environment }
  const options = { limit: SECONDS_PER_PROGRAM, env, ...(mayHang && { done: endsWithOk }) }
  const outcome = await run(node.bin, [...set, join(PROGRAMS, program)], options)
  if (!mayHang || outcome.end !== 'time limit' || !endsWithOk(outcome.output)) return outcome
  console.log(`  ${named(setting)}: ${program} hung at exit, as plain Node does`)
  return { ...outcome, end: 0 }
}

function tell(setting: Setting & { readonly started: number; readonly outcomes: ReadonlyMap<string, Outcome> }) {
  const failures = [...setting.outcomes].filter(([, outcome]) => !saysOk(outcome))
  const passed = setting.outcomes.size - failures.length
  const seconds = ((performance.now() - setting.started) / 1000).toFixed(1)
  console.log(`  ${named(setting)}: ${passed} passed, ${failures.length} failed (${seconds} s)`)
  for (const [program, outcome] of failures) {
    console.log(`    ${program}\n${told(outcome)}`)
    rememberFailure(`${named(setting)} ${program}`, outcome)
  }
}
