/**
 * `make bench`: greenlets beside what people use today, on this machine's Node. `make bench NODES=20,24` takes some of the
 * tested Nodes, `NODES=all` all of them, and then keeps the results in `results/latest.json`, from which `readme.ts` makes
 * the README's table. `--markdown` prints that table.
 *
 * Each Node runs `program.ts` as compiled by tsc, several times, since how fast a process is depends on where things happen
 * to lie in its memory; the Nodes take turns.
 */

import { execFileSync } from 'node:child_process'
import { copyFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Node, testedNodes } from '../scripts/nodes.ts'
import { currentLoad, merge, type NodeResult, resultsOf, writeResults } from './results.ts'
import type { Times } from './rig.ts'
import { markdown, table } from './tables.ts'

const PROCESSES = 3
/** Of each process. */
const SECONDS = 15

const ROOT = resolve(import.meta.dirname, '..')
const BUILT = join(ROOT, 'target/bench')
const ADDON = join(ROOT, 'js/greenlets.linux-x64-gnu.node')

const nodes = chosenNodes(process.env['NODES'] ?? '')
build()
const runs = nodes.map((node) => ({ node, loads: [] as string[], times: [] as Times[] }))
for (let i = 1; i <= PROCESSES; i++) {
  for (const { node, loads, times } of runs) {
    console.log(`Node ${node.version}, process ${i} of ${PROCESSES}`)
    loads.push(currentLoad())
    times.push(JSON.parse(execute(node, join(BUILT, 'bench/program.js'), String(SECONDS))))
  }
}

const results = resultsOf(
  runs.map(({ node, loads, times }): NodeResult => {
    const v8 = execute(node, '-p', 'process.versions.v8').trim()
    return { node: node.version, v8, load: loads.join(' '), processes: PROCESSES, times: merge(times) }
  }),
)
const { cpu, cores, kernel } = results.machine
console.log(`\n${cpu}, ${cores} cores, Linux ${kernel}, ${results.date}`)
for (const node of results.nodes) console.log(`\n${table(node)}`)
if (process.argv.includes('--markdown')) console.log(`\n${markdown(results)}`)
if (testedNodes().every(({ version }) => nodes.some((node) => node.version === version))) writeResults(results)

function chosenNodes(wanted: string): readonly Node[] {
  const { node: version } = process.versions
  if (wanted === '') return [{ version, major: Number.parseInt(version), bin: process.execPath }]
  const tested = testedNodes()
  if (wanted === 'all') return tested
  return wanted.split(',').map((major) => {
    const node = tested.find((one) => String(one.major) === major)
    if (node === undefined)
      throw new Error(`no Node '${major}'; there are: ${tested.map((one) => one.major).join(', ')}`)
    return node
  })
}

function build(): void {
  execFileSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '--project', import.meta.dirname], {
    stdio: 'inherit',
  })
  copyFileSync(join(ROOT, 'js/binding.cjs'), join(BUILT, 'js/binding.cjs'))
}

function execute(node: Node, ...args: string[]): string {
  const env = { ...process.env, NAPI_RS_NATIVE_LIBRARY_PATH: ADDON, NODE_OPTIONS: '' }
  return execFileSync(node.bin, args, { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'inherit'] })
}
