// Runs the specs: all of them on the oldest and the newest Node; on the others, those that rely on the inside of V8 or Node. On one Node,
// those about async context run once more with the other implementation of AsyncLocalStorage. Node 20 and 22 have async hooks by
// default, 24 and 26 have context frames: so every spec meets both. `make soak` runs all on every Node.

import { resolve } from 'node:path'
import { recordSomeSpecs, recordSpecs } from '../conformance.ts'
import { type Node, testedNodes } from '../nodes.ts'
import { run, variablesText } from '../run.ts'
import { allSpecs, isAboutContext, isBuiltOnGreenlets, observesContext } from '../specs.ts'
import { counted, sum, type Tally } from '../tally.ts'

const CLI = resolve(import.meta.dirname, '../../node_modules/ava/entrypoints/cli.mjs')

const SECONDS_FOR_ALL = 900

/** The flag for the implementation that is not the version's default; Node 20 has only one. */
export const OTHER_ASYNC_CONTEXT = new Map([
  [22, '--experimental-async-context-frame'],
  [24, '--no-async-context-frame'],
  [26, '--no-async-context-frame'],
])

/** On which specs about async context run twice. */
const BOTH_CONTEXTS = 24

export async function ava(): Promise<Tally> {
  const nodes = withOurs(testedNodes())
  const tallies: Tally[] = []
  // One after the other: ava itself runs two specs at once.
  for (const node of nodes) {
    tallies.push(await (node === nodes[0] || node === nodes.at(-1) ? everySpec(node) : specsOfTheEngine(node)))
    if (node.major === BOTH_CONTEXTS) tallies.push(await withOtherContext(node, isAboutContext))
  }
  return sum(tallies)
}

/** For `make soak`: all specs on the Nodes between, and with the other implementation of async context all that can tell it apart. */
export async function moreSpecs(): Promise<Tally> {
  const nodes = testedNodes()
  const tallies: Tally[] = []
  for (const node of nodes.slice(1, -1)) tallies.push(await everySpec(node))
  for (const node of nodes) tallies.push(await withOtherContext(node, observesContext))
  return sum(tallies)
}

const everySpec = (node: Node): Promise<Tally> => recorded(node, [], undefined)

function specsOfTheEngine(node: Node): Promise<Tally> {
  const every = allSpecs()
  const some = every.filter((spec) => !isBuiltOnGreenlets(spec))
  const left = every.length - some.length
  const name = `${some.length} specs (${left} are built on greenlets and run on the oldest and the newest Node)`
  return recorded(node, some, name)
}

/** Runs these specs, or all, among them all rows of greenlet's own tests. */
async function recorded(node: Node, specs: readonly string[], name: string | undefined): Promise<Tally> {
  const { tally, output } = await runSpecs(node, specs, { name })
  recordSpecs(output)
  return tally
}

async function withOtherContext(node: Node, chosen: (spec: string) => boolean): Promise<Tally> {
  const flag = OTHER_ASYNC_CONTEXT.get(node.major)
  if (flag === undefined) return { passed: 0, failed: 0 }
  const every = allSpecs()
  const some = every.filter(chosen)
  const name = `${flag}, ${some.length} specs (${every.length - some.length} others not run)`
  const again = await runSpecs(node, [`--node-arguments=${flag}`, ...some], { name })
  recordSomeSpecs(again.output)
  return again.tally
}

/** Adds the Node that runs this file, as the first, unless it is one of the tested ones or `TEST_NODES` chooses. */
function withOurs(nodes: readonly Node[]): readonly Node[] {
  const version = process.versions.node
  if (process.env['TEST_NODES'] !== undefined || nodes.some((node) => node.version === version)) return nodes
  return [{ version, major: Number.parseInt(version), bin: process.execPath }, ...nodes]
}

/**
 * Runs ava with these arguments and counts. `name` stands in the printed line after the Node's version. The programs of the specs load
 * what was built, which takes half as long as to load the TypeScript.
 */
export async function runSpecs(
  { bin, version }: Node,
  args: readonly string[],
  { name, env }: { name: string | undefined; env?: NodeJS.ProcessEnv },
): Promise<{ tally: Tally; output: string }> {
  const outcome = await run(bin, [CLI, '--tap', ...args], {
    limit: SECONDS_FOR_ALL,
    env: { ...(env ?? process.env), TEST_BUILT: '1' },
  })
  const lines = outcome.output.split('\n')
  const skipped = lines.filter((line) => /^(?:not )?ok .* # (?:SKIP|TODO)\b/.test(line))
  const passed = lines.filter((line) => line.startsWith('ok ') && !skipped.includes(line))
  const failed = lines.filter((line) => line.startsWith('not ok ') && !skipped.includes(line))

  const what = ['node', version, name, skipped.length > 0 && `(${skipped.length} skipped)`].filter(Boolean).join(' ')
  const output = lines.filter((line) => !passed.includes(line)).join('\n')
  const tally = counted(what, { ...outcome, output }, { passed: passed.length, failed: failed.length })
  return { tally, output: outcome.output }
}

/** Runs these specs with variables in the environment, which stand in the printed line. */
export async function runUnder(
  node: Node,
  environment: Readonly<Record<string, string>>,
  specs: readonly string[],
): Promise<Tally> {
  const options = { name: variablesText(environment), env: { ...process.env, ...environment } }
  const { tally } = await runSpecs(node, specs, options)
  return tally
}
