// Tests an addon that has our own switch. The addon that is shipped switches by corosensei, and all other stages test that one. Node 24
// and 26 run the specs that switch, end, spill and overflow stacks; older ones, torture programs. Those Nodes run specs with a loader
// that looks for its own native part where our variable says.

import { join, resolve } from 'node:path'
import { type Node, testedNodes } from '../nodes.ts'
import { run } from '../run.ts'
import { counted, countedProgram, sum, type Tally } from '../tally.ts'
import { buildVariant } from '../variant.ts'
import { runSpecs } from './ava.ts'

const SPECS = ['__test__/{switching,throwing,kill,overflow,spilling/spilling}.spec.ts']
const PROGRAMS = ['overflow.mjs', 'spilling.mjs']
const TORTURE = resolve(import.meta.dirname, '../../__test__/torture')

export async function ownSwitch(): Promise<Tally> {
  const { addon, built } = await buildVariant('own-switch')
  if (built.end !== 0) return counted('cargo build', built, { passed: 0, failed: 1 })
  const env = { ...process.env, NAPI_RS_NATIVE_LIBRARY_PATH: addon }
  const tallies: Tally[] = []
  for (const node of testedNodes()) {
    if (node.major >= 24) tallies.push((await runSpecs(node, SPECS, { name: 'specs', env })).tally)
    else for (const program of PROGRAMS) tallies.push(await torture(node, program, env))
  }
  return sum(tallies)
}

async function torture({ bin, version }: Node, program: string, env: NodeJS.ProcessEnv): Promise<Tally> {
  const outcome = await run(bin, ['--expose-gc', join(TORTURE, program)], { limit: 300, env })
  return countedProgram(`node ${version} ${program}`, outcome)
}
