// The core of the specs in the locker lane, in which V8 moves its state itself, on every Node. Where both lanes are compared,
// `property/lanes.spec` of the stage `ava`, and the torture programs in this lane, of the stage `flags`, are not run again.

import { testedNodes } from '../nodes.ts'
import { sum, type Tally } from '../tally.ts'
import { runSpecs } from './ava.ts'

/** What needs the collector many times over is left out: it takes as long as all the rest. */
const SPECS = [
  '__test__/{switching,throwing,kill,starting,parents,frames,stale,overflow,endings,workers,tracing,waiting}.spec.ts',
  '__test__/property/programs.spec.ts',
  '__test__/context/*.spec.ts',
  '__test__/inspector/session.spec.ts',
  '__test__/conformance/{throw,tracing,generator*,stack_saved,javascript,greenlet-{basics,broken,frames,parents,starting}}.spec.ts',
]

export async function lane(): Promise<Tally> {
  const env = { ...process.env, GREENLETS_LANE: 'locker' }
  const tallies: Tally[] = []
  for (const node of testedNodes()) tallies.push((await runSpecs(node, SPECS, { name: 'GREENLETS_LANE=locker', env })).tally)
  return sum(tallies)
}
