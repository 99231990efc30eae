// Runs the random programs in both lanes, each lane in its own process. Both must record the same lines.

import test from 'ava'
import fc from 'fast-check'
import { runProgram } from '../helpers/program.ts'
import { printed, programs } from './program.ts'

const SEED = Number(process.env['PROPERTY_SEED'] ?? Math.trunc(Math.random() * 2 ** 31))
const RUNS = Math.ceil(Number(process.env['PROPERTY_RUNS'] ?? 2000) / 5)

/** The lines that each program records in the lane, with the calls of its trace function: one line of JSON for each program. */
async function recordedIn(lane: string): Promise<string[]> {
  const { stdout, stderr, code } = await runProgram(
    `
    const { default: fc } = await import('fast-check')
    const { programs } = await import('./__test__/property/program.ts')
    const { runTracing } = await import('./__test__/property/real.ts')
    console.log(runtimeInfo().lane)
    for (const program of fc.sample(programs, { seed: ${SEED}, numRuns: ${RUNS} })) console.log(JSON.stringify(runTracing(program)))`,
    { before: `process.env.GREENLETS_LANE = '${lane}'` },
  )
  const [ran, ...stories] = stdout.trimEnd().split('\n')
  if (code !== 0 || stderr !== '' || ran !== lane || stories.length !== RUNS) {
    throw new Error(`lane ${lane}, PROPERTY_SEED=${SEED}: ${ran}, ${stories.length} programs, code ${code}\n${stderr}`)
  }
  return stories
}

test(`${RUNS} random programs record the same lines in both lanes, seed ${SEED}`, async (t) => {
  t.timeout(600_000)
  const [fast, locker] = await Promise.all([recordedIn('fast'), recordedIn('locker')])
  const at = fast.findIndex((lines, i) => lines !== locker[i])
  if (at === -1) {
    t.pass()
    return
  }
  const [ours, theirs] = [fast, locker].map((stories) => JSON.parse(stories[at]!) as string[])
  const differs = ours!.findIndex((line, i) => line !== theirs![i])
  const line = differs === -1 ? ours!.length : differs
  const program = fc.sample(programs, { seed: SEED, numRuns: at + 1 })[at]!
  t.fail(`PROPERTY_SEED=${SEED} finds:\n${printed(program)}\n  fast   ${ours![line]}\n  locker ${theirs![line]}`)
})
