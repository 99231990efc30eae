// Runs greenlet's own tests (`__test__/conformance`) with settings that make stacks hard to keep: they are copied away all the time.
// For `make soak`: both settings on each Node, and each of the flags that the torture programs run under.

import { testedNodes } from '../nodes.ts'
import { sum, type Tally } from '../tally.ts'
import { runSpecs, runUnder } from './ava.ts'
import { FLAGS, HANGS_AT_EXIT, knows } from './flags.ts'

const SPECS = '__test__/conformance/*.spec.ts'

const STACKS: readonly Readonly<Record<string, string>>[] = [
  { GREENLETS_SLOTS: '2', GREENLETS_VERIFY_GC: '1' },
  { GREENLETS_SPILL: 'always', GREENLETS_POISON: 'protect' },
]

/** Each setting on two Nodes only, because a run takes most of a minute. */
export async function spilled(): Promise<Tally> {
  const tallies: Tally[] = []
  for (const [i, node] of testedNodes().entries())
    tallies.push(await runUnder(node, STACKS[i % STACKS.length]!, [SPECS]))
  return sum(tallies)
}

export async function matrix(): Promise<Tally> {
  const tallies: Tally[] = []
  for (const node of testedNodes()) {
    for (const environment of STACKS) tallies.push(await runUnder(node, environment, [SPECS]))
    for (const set of FLAGS) {
      const name = set.join(' ')
      if (set.includes(HANGS_AT_EXIT) || !(await knows(node, set))) {
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
