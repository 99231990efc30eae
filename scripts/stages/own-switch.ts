// Runs the specs that switch, end, spill and overflow stacks, on every Node, with an addon that has our own switch. The addon that is
// shipped switches by corosensei, and all other stages test that one.

import { testedNodes } from '../nodes.ts'
import { counted, sum, type Tally } from '../tally.ts'
import { buildVariant } from '../variant.ts'
import { runUnder } from './ava.ts'

const SPECS = ['__test__/{switching,throwing,kill,overflow,spilling/spilling}.spec.ts']

export async function ownSwitch(): Promise<Tally> {
  const { addon, built } = await buildVariant('own-switch')
  if (built.end !== 0) return counted('cargo build', built, { passed: 0, failed: 1 })
  const tallies: Tally[] = []
  for (const node of testedNodes()) tallies.push(await runUnder(node, { NAPI_RS_NATIVE_LIBRARY_PATH: addon }, SPECS))
  return sum(tallies)
}
