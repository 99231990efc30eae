/**
 * `make bench`: compares greenlets with other ways to do the same, on this machine's Node. `make bench NODES=20,24` uses some
 * of the tested Nodes. `NODES=all` uses all of them and keeps the results in `results/latest.json`, from which `table.ts`
 * makes the table of docs/performance.md. `--markdown` prints that table. It takes three minutes for each Node.
 *
 * Each Node runs `program.ts`, compiled by tsc, several times, because the speed of a process depends on the places of objects
 * in its memory. The Nodes and the peers that are not JavaScript take turns. Then `crowd.ts` runs once for each number of
 * suspended greenlets: with a million only if there is enough memory.
 */

import { execFileSync } from 'node:child_process'
import { copyFileSync } from 'node:fs'
import { freemem } from 'node:os'
import { join, resolve } from 'node:path'
import { type Node, testedNodes } from '../scripts/nodes.ts'
import { CROWDS, WITH_MEMORY } from './comparisons.ts'
import { measureCore, measureCoreMemory } from './peers/core.ts'
import { buildEmpty } from './peers/empty.ts'
import { findPython } from './peers/python.ts'
import { currentLoad, merge, type NodeResult, resultsOf, writeResults } from './results.ts'
import type { Figures } from './rig.ts'
import { markdown, table } from './tables.ts'

const PROCESSES = 3
/** Seconds of each process. */
const SECONDS = 12
const PYTHON_SECONDS = 4
/** Seconds of each process with our own switch, which has one row. */
const OWN_SWITCH_SECONDS = 2
const REQUEST_SECONDS = 10
/** The memory that a million suspended items need. */
const GIB_FOR_A_CROWD = 8

const ROOT = resolve(import.meta.dirname, '..')
const BUILT = join(ROOT, 'target/bench')
const ADDON = join(ROOT, 'js/native/greenlets.linux-x64-gnu.node')
/** Built as the other one, with another feature. */
const OWN_SWITCH = join(ROOT, 'target/bench/own-switch.node')

const nodes = chosenNodes(process.env['NODES'] ?? '')
const environment = build()
const python = findPython(ROOT, join(ROOT, '.tools'))
const peers: Figures[] = []
const runs = nodes.map((node) => ({ node, loads: [] as string[], times: [] as Figures[] }))
for (let i = 1; i <= PROCESSES; i++) {
  for (const { node, loads, times } of runs) {
    console.log(`Node ${node.version}, process ${i} of ${PROCESSES}`)
    loads.push(currentLoad())
    times.push(JSON.parse(execute(node, 'bench/program.js', String(SECONDS))))
    times.push(JSON.parse(execute(node, 'bench/requests.js', String(REQUEST_SECONDS))))
    times.push(JSON.parse(execute(node, 'bench/own-switch.js', String(OWN_SWITCH_SECONDS))))
  }
  console.log(`Python and Rust, process ${i} of ${PROCESSES}`)
  if (python !== undefined) peers.push(python.measure(String(PYTHON_SECONDS)))
  peers.push(measureCore(ROOT))
}
for (const count of CROWDS) {
  if (freemem() < GIB_FOR_A_CROWD * 2 ** 30 * (count / 1e6)) {
    console.log(`${count} suspended: not measured, less than ${GIB_FOR_A_CROWD} GiB of memory are free`)
    continue
  }
  for (const { node, times } of runs) {
    console.log(`Node ${node.version}, ${count} suspended`)
    const crowd = (...args: string[]): void => {
      times.push(JSON.parse(execute(node, 'bench/crowd.js', String(count), ...args)))
    }
    crowd('greenlets')
    crowd('visited')
    crowd('objects')
    if (WITH_MEMORY.includes(count)) crowd('async')
  }
  if (python !== undefined && WITH_MEMORY.includes(count)) peers.push(python.measure('memory', String(count)))
}
peers.push(measureCoreMemory(ROOT))

const results = resultsOf(
  runs.map(({ node, loads, times }): NodeResult => {
    const v8 = execFileSync(node.bin, ['-p', 'process.versions.v8'], { encoding: 'utf8' }).trim()
    const figures = merge([...times, ...peers])
    return { node: node.version, v8, load: loads.join(' '), processes: PROCESSES, times: figures }
  }),
  `${python?.version ?? 'without Python'}, corosensei 0.3, generator-rs 0.8, may 0.3`,
)
const { cpu, cores, kernel } = results.machine
console.log(`\n${cpu}, ${cores} cores, Linux ${kernel}, ${results.date}; ${results.peers}`)
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

/** Returns the environment variables that the programs need. */
function build(): NodeJS.ProcessEnv {
  execFileSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '--project', import.meta.dirname], {
    stdio: 'inherit',
  })
  const home = join(ROOT, 'target/own-switch')
  const options = ['build', '--release', '--quiet', '--package=greenlets-napi', '--features=own-switch', '--target-dir']
  execFileSync('cargo', [...options, home], { cwd: ROOT, stdio: 'inherit' })
  copyFileSync(join(home, 'release/libgreenlets_napi.so'), OWN_SWITCH)
  for (const file of ['js/native/binding.cjs', 'js/native/load.cjs', 'package.json'])
    copyFileSync(join(ROOT, file), join(BUILT, file))
  return { ...process.env, ...buildEmpty(ROOT, BUILT), NAPI_RS_NATIVE_LIBRARY_PATH: ADDON, NODE_OPTIONS: '' }
}

function execute(node: Node, program: string, ...args: string[]): string {
  // The young generation has its full size from the start: otherwise its growth would count as memory of the items.
  const flags = ['--expose-gc', '--max-old-space-size=8192', '--min-semi-space-size=16']
  const env = {
    ...environment,
    ...(args.includes('visited') && { GREENLETS_SCAN: 'all' }),
    ...(program === 'bench/own-switch.js' && { NAPI_RS_NATIVE_LIBRARY_PATH: OWN_SWITCH }),
  }
  return execFileSync(node.bin, [...flags, join(BUILT, program), ...args], {
    encoding: 'utf8',
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}
