// Tests the core: its unit and integration tests with both switches, each test in a process of its own, then the examples in its
// docs, and last its instruction counts. The addon has no Rust tests, because Node-API exists only inside Node.

import { recordRust } from '../conformance.ts'
import { run } from '../run.ts'
import { instructions } from './instructions.ts'
import { counted, sum, type Tally } from '../tally.ts'

const SECONDS_WITH_BUILD = 1200
const OPTIONS = ['--package=greenlets-core', '--no-fail-fast', '--color=never']

const DEFAULT = ['--features=anyhow']
/** corosensei's switch is the default, and the addon's. */
const OWN = ['--features=own-switch,anyhow']
/** Files of the addon with a model in V8's place. Miri finds more in these tests (`make miri`). */
const MODEL = ['--package=greenlets-model', '--color=never']
/**
 * Random programs for each of the model's tests with our own switch. The model tests the rules of greenlets, which are the same code
 * with both switches: with corosensei's it runs its usual 2,000.
 */
const FEWER_PROGRAMS = '500'

export async function rust(): Promise<Tally> {
  const tallies: Tally[] = []
  for (const tests of [await coreTests(), await coreTests(OWN, FEWER_PROGRAMS)]) {
    recordRust(tests.output)
    tallies.push(tests.tally)
  }
  const model = await run('cargo', ['nextest', 'run', ...MODEL], { limit: SECONDS_WITH_BUILD })
  tallies.push(counted('the model of V8', model, nextest(model.output)))
  const docs = await run('cargo', ['test', '--doc', ...OPTIONS, ...DEFAULT], { limit: SECONDS_WITH_BUILD })
  return sum([...tallies, counted('doc tests', docs, libtest(docs.output)), await instructions()])
}

/** The core's unit and integration tests. `programs` is how many random ones the model's tests run, unless the environment says so. */
export async function coreTests(
  features: readonly string[] = DEFAULT,
  programs?: string,
): Promise<{ tally: Tally; output: string }> {
  const env = { ...(programs !== undefined && { PROPTEST_CASES: programs }), ...process.env }
  const tests = await run('cargo', ['nextest', 'run', ...OPTIONS, ...features], { limit: SECONDS_WITH_BUILD, env })
  const few = programs === undefined ? [] : [`(${env.PROPTEST_CASES} random programs for each of the model's tests)`]
  const tally = counted(['cargo nextest', ...features, ...few].join(' '), tests, nextest(tests.output))
  return { tally, output: tests.output }
}

/** From the closing line `Summary [ 0.1s] 12 tests run: 10 passed (1 slow), 1 failed, 1 timed out, 3 skipped`. */
function nextest(output: string): Tally {
  const [, ran, passed] = /^\s*Summary .*?(\d+)(?:\/\d+)? tests? run: (\d+) passed/m.exec(output) ?? []
  return { passed: Number(passed ?? 0), failed: Number(ran ?? 0) - Number(passed ?? 0) }
}

/** From every crate's `test result: ok. 2 passed; 0 failed; ...`. */
export function libtest(output: string): Tally {
  const results = output.matchAll(/^test result: .*? (\d+) passed; (\d+) failed/gm)
  return sum([...results].map(([, passed, failed]) => ({ passed: Number(passed), failed: Number(failed) })))
}
