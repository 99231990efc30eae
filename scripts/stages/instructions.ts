// Counts by callgrind how many instructions a switch of the core takes. So a slower switch is found even on a busy machine. The
// compiler is pinned (rust-toolchain.toml), so the counts are the same on every machine. A new compiler may move the bounds.

import { join, resolve } from 'node:path'
import { run } from '../run.ts'
import { counted, sum, type Tally } from '../tally.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const PROGRAMS = join(ROOT, 'target/release/examples')
const SECONDS_WITH_BUILD = 1200
const [FEW, MANY] = [1_001, 11_001]

interface Bound {
  readonly what: string
  /** An example of the core. */
  readonly program: string
  /** Its second argument. */
  readonly argument?: string
  readonly features: readonly string[]
  /** The most instructions allowed for one switch there and back. */
  readonly most: number
}

const OWN = ['--features=own-switch']

/** 3 to 5 % above the counts with rustc 1.95 on x86-64: 162, 230, 2014, 152 and 228. Checking the stack pointer is 12 to 16 of them. */
const BOUNDS: readonly Bound[] = [
  { what: "a switch by corosensei's", program: 'count', features: [], most: 168 },
  { what: "a switch of a Greenlet, by corosensei's", program: 'count_greenlet', features: [], most: 238 },
  { what: 'a switch that spills and unspills 2 KB', program: 'count', argument: 'spill', features: [], most: 2100 },
  { what: 'a switch by our own', program: 'count', features: OWN, most: 158 },
  { what: 'a switch of a Greenlet, by our own', program: 'count_greenlet', features: OWN, most: 236 },
]

export async function instructions(): Promise<Tally> {
  if (process.arch !== 'x64') return notRun('they are known for x86-64 only')
  const valgrind = await run('valgrind', ['--version']).catch(() => undefined)
  if (valgrind === undefined) return notRun('no valgrind here')
  const tallies: Tally[] = []
  for (const bound of BOUNDS) tallies.push(await held(bound))
  return sum(tallies)
}

function notRun(why: string): Tally {
  console.log(`  instructions: n/a, ${why} (${BOUNDS.length} counts not made)`)
  return { passed: 0, failed: 0 }
}

async function held({ what, program, argument = '', features, most }: Bound): Promise<Tally> {
  const options = ['--release', '--quiet', '--package=greenlets-core', `--example=${program}`, ...features]
  const built = await run('cargo', ['build', ...options], { cwd: ROOT, limit: SECONDS_WITH_BUILD })
  if (built.end !== 0) return counted('cargo build', built, { passed: 0, failed: 1 })

  const counts: number[] = []
  for (const switches of [FEW, MANY]) {
    const tool = ['--tool=callgrind', '--callgrind-out-file=/dev/null']
    const outcome = await run('valgrind', [...tool, join(PROGRAMS, program), String(switches), argument], {
      limit: 300,
    })
    const [, collected] = /Collected : (\d+)/.exec(outcome.output) ?? []
    if (outcome.end !== 0 || collected === undefined) return counted(what, outcome, { passed: 0, failed: 1 })
    counts.push(Number(collected))
  }
  const each = Math.round((counts[1]! - counts[0]!) / (MANY - FEW))
  const good = each <= most
  console.log(`  ${what}: ${each} instructions there and back, ${good ? '' : 'MORE than '}at most ${most}`)
  return { passed: Number(good), failed: Number(!good) }
}
