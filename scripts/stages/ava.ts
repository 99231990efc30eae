// The specs, on every Node and in both of Node's implementations of AsyncLocalStorage.

import { resolve } from 'node:path'
import { recordSpecs } from '../conformance.ts'
import { type Node, testedNodes } from '../nodes.ts'
import { run } from '../run.ts'
import { counted, sum, type Tally } from '../tally.ts'

const CLI = resolve(import.meta.dirname, '../../node_modules/ava/entrypoints/cli.mjs')

const SECONDS_FOR_ALL = 900

/** The flag for the implementation that is not the version's default; Node 20 has one only. */
export const OTHER_ASYNC_CONTEXT = new Map([
  [22, '--experimental-async-context-frame'],
  [24, '--no-async-context-frame'],
  [26, '--no-async-context-frame'],
])

export async function ava(): Promise<Tally> {
  const tallies: Tally[] = []
  // One after the other: ava itself runs two specs at once.
  for (const node of withOurs(testedNodes())) {
    tallies.push(await specs(node))
    const flag = OTHER_ASYNC_CONTEXT.get(node.major)
    if (flag !== undefined) tallies.push(await specs(node, flag))
  }
  return sum(tallies)
}

/** The Node that runs this comes first, unless it is one of the tested ones. */
function withOurs(nodes: readonly Node[]): readonly Node[] {
  const version = process.versions.node
  if (nodes.some((node) => node.version === version)) return nodes
  return [{ version, major: Number.parseInt(version), bin: process.execPath }, ...nodes]
}

async function specs(node: Node, flag?: string): Promise<Tally> {
  const { tally, output } = await runSpecs(node, flag === undefined ? [] : [`--node-arguments=${flag}`], { name: flag })
  recordSpecs(output)
  return tally
}

/** Runs ava with these arguments, and counts. `name` is what it is told by, beside the Node's version. */
export async function runSpecs(
  { bin, version }: Node,
  args: readonly string[],
  { name, env }: { name: string | undefined; env?: NodeJS.ProcessEnv },
): Promise<{ tally: Tally; output: string }> {
  const outcome = await run(bin, [CLI, '--tap', ...args], { limit: SECONDS_FOR_ALL, ...(env && { env }) })
  const lines = outcome.output.split('\n')
  const skipped = lines.filter((line) => /^(?:not )?ok .* # (?:SKIP|TODO)\b/.test(line))
  const passed = lines.filter((line) => line.startsWith('ok ') && !skipped.includes(line))
  const failed = lines.filter((line) => line.startsWith('not ok ') && !skipped.includes(line))

  const what = ['node', version, name, skipped.length > 0 && `(${skipped.length} skipped)`].filter(Boolean).join(' ')
  const output = lines.filter((line) => !passed.includes(line)).join('\n')
  const tally = counted(what, { ...outcome, output }, { passed: passed.length, failed: failed.length })
  return { tally, output: outcome.output }
}

/** Runs these specs with variables in the environment, by which it is told. */
export async function runUnder(
  node: Node,
  environment: Readonly<Record<string, string>>,
  specs: readonly string[],
): Promise<Tally> {
  const pairs = Object.entries(environment).map((pair) => pair.join('='))
  const { tally } = await runSpecs(node, specs, { name: pairs.join(' '), env: { ...process.env, ...environment } })
  return tally
}
