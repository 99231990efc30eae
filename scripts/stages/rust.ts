// The core: unit and integration tests, each in a process of its own, with both switches, then the examples in its docs. The
// addon has no Rust tests: Node-API is there only inside of Node. Last, the core's instructions are counted.

import { recordRust } from '../conformance.ts'
import { run } from '../run.ts'
import { instructions } from './instructions.ts'
import { counted, sum, type Tally } from '../tally.ts'

const SECONDS_WITH_BUILD = 1200

/** corosensei's switch, which is the default, and our own, which the addon has. */
const SWITCHES = [[], ['--features=own-switch']]

export async function rust(): Promise<Tally> {
  const options = ['--package=greenlets-core', '--no-fail-fast', '--color=never']
  const tallies: Tally[] = []
  for (const features of SWITCHES) {
    const tests = await run('cargo', ['nextest', 'run', ...options, ...features], { limit: SECONDS_WITH_BUILD })
    recordRust(tests.output)
    tallies.push(counted(['cargo nextest', ...features].join(' '), tests, nextest(tests.output)))
  }
  const docs = await run('cargo', ['test', '--doc', ...options], { limit: SECONDS_WITH_BUILD })
  return sum([...tallies, counted('doc tests', docs, libtest(docs.output)), await instructions()])
}

/** From the closing line `Summary [ 0.1s] 12 tests run: 10 passed (1 slow), 1 failed, 1 timed out, 3 skipped`. */
function nextest(output: string): Tally {
  const [, ran, passed] = /^\s*Summary .*?(\d+)(?:\/\d+)? tests? run: (\d+) passed/m.exec(output) ?? []
  return { passed: Number(passed ?? 0), failed: Number(ran ?? 0) - Number(passed ?? 0) }
}

/** From every crate's `test result: ok. 2 passed; 0 failed; ...`. */
function libtest(output: string): Tally {
  const results = output.matchAll(/^test result: .*? (\d+) passed; (\d+) failed/gm)
  return sum([...results].map(([, passed, failed]) => ({ passed: Number(passed), failed: Number(failed) })))
}
