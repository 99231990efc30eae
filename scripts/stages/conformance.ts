// greenlet's own tests (`__test__/conformance`) where stacks are hard to keep: copied away all the time; and for `make soak` all of
// that on each Node, and under each of the flags that the torture programs run under.

import { type Node, testedNodes } from '../nodes.ts'
import { run } from '../run.ts'
import { sum, type Tally } from '../tally.ts'
import { runSpecs } from './ava.ts'
import { FLAGS, HANGS_AT_EXIT } from './flags.ts'

const SPECS = '__test__/conformance/*.spec.ts'

const STACKS: readonly Readonly<Record<string, string>>[] = [
  { GREENLETS_SLOTS: '2', GREENLETS_VERIFY_GC: '1' },
  { GREENLETS_SPILL: 'always', GREENLETS_POISON: 'protect' },
]

/** Half of them, each on two Nodes: a run takes most of a minute. */
export async function spilled(): Promise<Tally> {
  const tallies: Tally[] = []
  for (const [i, node] of testedNodes().entries()) tallies.push(await kept(node, STACKS[i % STACKS.length]!))
  return sum(tallies)
}

async function kept(node: Node, environment: Readonly<Record<string, string>>): Promise<Tally> {
  const pairs = Object.entries(environment).map((pair) => pair.join('='))
  const env = { ...process.env, ...environment }
  return (await runSpecs(node, [SPECS], { name: pairs.join(' '), env })).tally
}

export async function matrix(): Promise<Tally> {
  const tallies: Tally[] = []
  for (const node of testedNodes()) {
    for (const environment of STACKS) tallies.push(await kept(node, environment))
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
