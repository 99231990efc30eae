// greenlet's own tests (`__test__/conformance`) where stacks are hard to keep: copied away all the time, and, for `make soak`, under
// each of the flags that the torture programs run under.

import { testedNodes } from '../nodes.ts'
import { run } from '../run.ts'
import { sum, type Tally } from '../tally.ts'
import { runSpecs } from './ava.ts'
import { FLAGS, HANGS_AT_EXIT } from './flags.ts'

const SPECS = '__test__/conformance/*.spec.ts'

const STACKS: readonly Readonly<Record<string, string>>[] = [
  { GREENLETS_SLOTS: '2', GREENLETS_VERIFY_GC: '1' },
  { GREENLETS_SPILL: 'always', GREENLETS_POISON: 'protect' },
]

export async function spilled(): Promise<Tally> {
  const tallies: Tally[] = []
  for (const node of testedNodes()) {
    for (const environment of STACKS) {
      const pairs = Object.entries(environment).map((pair) => pair.join('='))
      const env = { ...process.env, ...environment }
      tallies.push((await runSpecs(node, [SPECS], { name: pairs.join(' '), env })).tally)
    }
  }
  return sum(tallies)
}

export async function matrix(): Promise<Tally> {
  const tallies: Tally[] = []
  for (const node of testedNodes()) {
    for (const set of FLAGS) {
      const name = set.join(' ')
      const probe = await run(node.bin, [...set, '-e', '0'])
      if (probe.output.includes('bad option') || set.includes(HANGS_AT_EXIT)) {
        const why = set.includes(HANGS_AT_EXIT) ? 'plain Node hangs with it' : 'this Node does not know it'
        console.log(`  node ${node.version} ${name}: n/a, ${why} (${SPECS} not run)`)
        continue
      }
      const args = [SPECS, ...set.map((flag) => `--node-arguments=${flag}`)]
      tallies.push((await runSpecs(node, args, { name })).tally)
    }
  }
  return sum(tallies)
}
