// Runs the most important quick specs in the locker lane, in which V8 moves its state itself, on the oldest and the newest Node. On every
// Node the stage `ava` compares both lanes (`property/lanes.spec`), and the stage `flags` runs the torture programs in this lane.

import { testedNodes } from '../nodes.ts'
import { sum, type Tally } from '../tally.ts'
import { runUnder } from './ava.ts'

const SPECS = [
  '__test__/{switching,throwing,kill,kill-waiting,quiet-exits,domains,frames,stale,overflow,endings}.spec.ts',
  '__test__/{workers,left-behind,memory,caught,collections,last-first,shared}.spec.ts',
  '__test__/property/programs.spec.ts',
  '__test__/interrupts/*.spec.ts',
  '__test__/context/{stores,scopes,gr_context,exit}.spec.ts',
  '__test__/inspector/session.spec.ts',
  '__test__/conformance/{throw,greenlet-{basics,broken,frames}}.spec.ts',
]
const ENVIRONMENT = { GREENLETS_LANE: 'locker', PROPERTY_RUNS: '500' }

export async function lane(): Promise<Tally> {
  const tallies: Tally[] = []
  const nodes = testedNodes()
  for (const node of new Set([nodes[0]!, nodes.at(-1)!])) tallies.push(await runUnder(node, ENVIRONMENT, SPECS))
  return sum(tallies)
}
