// Runs programs that know nothing of greenlets with every callback inside a greenlet (`__test__/everywhere/preload.cjs`). They must
// print the same and end in the same way as without. On every Node: with both implementations of AsyncLocalStorage, with stacks that
// are copied away at every switch, and in the locker lane.

import { join, resolve } from 'node:path'
import { testedNodes } from '../nodes.ts'
import { rememberFailure } from '../failures.ts'
import { run, twoAtOnce } from '../run.ts'
import { sum, type Tally, told } from '../tally.ts'
import { OTHER_ASYNC_CONTEXT } from './ava.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const HOME = join(ROOT, '__test__/everywhere')
const SECONDS = 120

const PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  'features.mjs': [join(HOME, 'features.mjs')],
  prettier: [join(ROOT, 'node_modules/prettier/bin/prettier.cjs'), '--check', join(ROOT, 'docs'), join(ROOT, 'js')],
}

const SPILLED = { GREENLETS_SPILL: 'always', GREENLETS_POISON: 'protect' }
const LOCKER = { GREENLETS_LANE: 'locker' }

export async function everywhere(): Promise<Tally> {
  const perNode = await twoAtOnce(testedNodes(), async ({ bin, version, major }) => {
    const tallies: Tally[] = []
    const other = OTHER_ASYNC_CONTEXT.get(major)
    for (const [name, program] of Object.entries(PROGRAMS)) {
      const plain = await run(bin, program, { limit: SECONDS, cwd: ROOT })
      const inside = async (
        flags: readonly string[],
        environment: Readonly<Record<string, string>>,
      ): Promise<Tally> => {
        const what = [...Object.keys(environment), 'node', version, ...flags, name].join(' ')
        const args = [...flags, `--require=${join(HOME, 'preload.cjs')}`, ...program]
        const env = { ...process.env, ...environment, EVERYWHERE: 'tell' }
        const outcome = await run(bin, args, { limit: SECONDS, cwd: ROOT, env })
        // Its children print their numbers too.
        const times = Math.max(...[...outcome.output.matchAll(/^suspended (\d+) times$/gm)].map(([, n]) => Number(n)))
        const output = outcome.output.replace(/^suspended \d+ times\n/gm, '')
        const good = outcome.end === 0 && plain.end === 0 && output === plain.output && times > 0
        console.log(`  ${what}: ${good ? `as without, suspended ${times} times` : 'NOT as without'}`)
        if (!good) {
          console.log(`without greenlets:\n${told(plain)}\nwith:\n${told(outcome)}`)
          rememberFailure(what, outcome)
        }
        return { passed: good ? 1 : 0, failed: good ? 0 : 1 }
      }
      tallies.push(await inside([], {}), await inside([], SPILLED), await inside([], LOCKER))
      if (other !== undefined) tallies.push(await inside([other], {}))
    }
    return sum(tallies)
  })
  return sum(perNode)
}
