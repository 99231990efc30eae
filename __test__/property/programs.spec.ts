// Random programs on real greenlets and in the model. A failure prints the seed and the smallest program that still fails.
// PROPERTY_SEED=<seed> runs it again; PROPERTY_RUNS is the number of programs.

import test from 'ava'
import fc from 'fast-check'
import { runModel } from './model.ts'
import { type Program, printed, programs } from './program.ts'
import { runReal, runTraced } from './real.ts'

const SEED = Number(process.env['PROPERTY_SEED'] ?? Math.trunc(Math.random() * 2 ** 31))
const RUNS = Number(process.env['PROPERTY_RUNS'] ?? 2000)

type Runner = (program: Program) => string[]

/** Undefined if both record the same; else the lines up to the first difference. */
function divergence(program: Program, run: Runner): string | undefined {
  const [real, model] = [run(program), runModel(program)]
  const at = real.findIndex((line, i) => line !== model[i])
  if (at === -1 && real.length === model.length) return undefined
  const end = at === -1 ? real.length : at
  const before = real.slice(Math.max(0, end - 5), end).map((line) => `        ${line}`)
  return [...before, `  real  ${real[end]}`, `  model ${model[end]}`].join('\n')
}

/** Undefined, or the text of the smallest program that records something else. */
function search(run: Runner, numRuns: number): string | undefined {
  const property = fc.property(programs, (program) => divergence(program, run) === undefined)
  const { failed, counterexample } = fc.check(property, { seed: SEED, numRuns })
  if (!failed) return undefined
  const [program] = counterexample!
  return `PROPERTY_SEED=${SEED} PROPERTY_RUNS=${RUNS} finds:\n${printed(program)}\n${divergence(program, run)}`
}

test(`${RUNS} random programs do what the model says, seed ${SEED}`, (t) => {
  t.timeout(600_000)
  t.is(search(runReal, RUNS), undefined)
})

test('random programs do the same with a trace function', (t) => {
  t.timeout(600_000)
  t.is(search(runTraced, Math.ceil(RUNS / 4)), undefined)
})

test('the random programs reach every kind of event', (t) => {
  const stories = fc.sample(programs, { seed: 388, numRuns: 1000 }).map(runModel)
  const corners = {
    'a start with an exit': /starts with \((?:x|ERR_GREENLET_EXIT)/,
    'an error caught in a greenlet': /^g[1-9]\d* caught e/,
    'an exit caught in a greenlet': /^g[1-9]\d* caught (?:x|ERR_GREENLET_EXIT)/,
    'an error that comes to main': /^g0 caught e/,
    'a kill by a greenlet': /^g[1-9]\d* killed it/,
    'a kill refused': /caught ERR_GREENLET_KILL_REFUSED/,
    'a cycle refused': /caught ERR_GREENLET_PARENT_CYCLE/,
    'a greenlet without run': /caught ERR_GREENLET_NO_RUN/,
    'run set too late': /caught ERR_GREENLET_STARTED/,
    'several frames seen': /sees \S+ \S+ \[\w+,\w+,\w+/,
    'a snapshot valid, another stale': / (?:01|10)/,
    'five suspended at once': /(?:suspended.*){5}/,
    'thirty greenlets': /now \d+(?: \w+<\d*){30}/,
  }
  for (const [corner, pattern] of Object.entries(corners)) {
    const count = stories.filter((lines) => lines.some((line) => pattern.test(line))).length
    t.true(count >= 5, `${corner}: in ${count} programs`)
  }
})
