// Long stress tests on every Node: a server under load, threads that are terminated at random moments, a million greenlets. Each runs
// as users run it, and once more with what shows mistakes. Two run at a time; all take over an hour.

import { join, resolve } from 'node:path'
import { type Node, testedNodes } from '../nodes.ts'
import { run, twoAtOnce, variablesText } from '../run.ts'
import { countedProgram, sum, type Tally } from '../tally.ts'

const TESTS = resolve(import.meta.dirname, '../../__test__')
/** How long a program runs that can run for any time. */
const SECONDS = Number(process.env['SOAK_SECONDS'] || 420)
/** What a program gets on top of that to start and to end. */
const SECONDS_MORE = 300
/** With the checks, each collection visits a million stacks: it takes six minutes alone, and more than twenty on a busy machine. */
const SECONDS_FOR_A_MILLION = 2400

const SETTINGS: readonly Readonly<Record<string, string>>[] = [
  {},
  { GREENLETS_VERIFY_GC: '1', GREENLETS_SLOTS: '8', GREENLETS_POISON: '1' },
]

interface Program {
  readonly file: string
  readonly flags?: readonly string[]
  readonly args?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly limit: number
}

const PROGRAMS: readonly Program[] = [
  { file: 'soak/server.mjs', flags: ['--expose-gc'], args: [String(SECONDS)], limit: SECONDS + SECONDS_MORE },
  {
    file: 'torture/terminated.mjs',
    environment: { TERMINATE_SECONDS: String(SECONDS) },
    limit: SECONDS + SECONDS_MORE,
  },
  {
    file: 'soak/million.mjs',
    flags: ['--expose-gc', '--max-old-space-size=8192'],
    limit: SECONDS_FOR_A_MILLION,
  },
]

export async function soak(): Promise<Tally> {
  const runs = testedNodes().flatMap((node) =>
    SETTINGS.flatMap((setting) => PROGRAMS.map((program) => ({ node, setting, program }))),
  )
  return sum(await twoAtOnce(runs, ({ node, setting, program }) => soaked(node, setting, program)))
}

async function soaked(node: Node, setting: Readonly<Record<string, string>>, program: Program): Promise<Tally> {
  const { file, flags = [], args = [], environment, limit } = program
  const env = { ...process.env, ...setting, ...environment }
  const outcome = await run(node.bin, [...flags, join(TESTS, file), ...args], { env, limit })
  return countedProgram(`${variablesText(setting)} node ${node.version} ${file}`, outcome)
}
