// Node's own core tests, with the program and all its callbacks inside greenlets (`__test__/everywhere/preload.cjs`): a test that
// passes without must pass with them. What fails is run again with the same wrappers but without greenlets, which tells apart the
// tests that mind the wrappers, this machine or another patch level of Node; and once more, alone, for those that are not reliable.

import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Node, testedNodes } from '../nodes.ts'
import { nodeTests } from '../node-tests.ts'
import { type Outcome, run, twoAtOnce } from '../run.ts'
import { sum, type Tally, told } from '../tally.ts'

const PRELOAD = resolve(import.meta.dirname, '../../__test__/everywhere/preload.cjs')
/** The folders of Node's `test/` whose programs need no build and say by their exit code whether they passed. */
const FOLDERS = 'async-hooks client-proxy es-module module-hooks parallel report sequential sqlite wasm-allocation'.split(' ')
const SECONDS = 120

type Kind = 'greenlets' | 'resources'
type Verdict = 'passed' | 'failed' | 'fails without'

export async function nodeSuite(): Promise<Tally> {
  const only = new RegExp(process.env['NODE_SUITE'] ?? '')
  const tallies: Tally[] = []
  for (const node of testedNodes()) {
    if (!new RegExp(process.env['NODE_SUITE_NODES'] ?? '').test(String(node.major))) continue
    const home = join(nodeTests(node.major), 'test')
    const tests = FOLDERS.flatMap((folder) => programs(home, folder)).filter((test) => only.test(test))
    const suspects: string[] = []
    await twoAtOnce(tests, async (test) => {
      if ((await runOne(node, home, test, 'greenlets')).end !== 0) suspects.push(test)
    })
    console.log(`  node ${node.version}: ${tests.length} tests, ${suspects.length} suspects`)
    const verdicts = new Map<string, Verdict>()
    for (const test of suspects) verdicts.set(test, await judge(node, home, test))
    const of = (wanted: Verdict) => [...verdicts].filter(([, verdict]) => verdict === wanted).map(([test]) => test)
    const failed = of('failed')
    const without = of('fails without')
    const passed = tests.length - failed.length - without.length
    console.log(`  node ${node.version}: ${passed} pass, ${failed.length} fail, ${without.length} fail without greenlets, too`)
    console.log(`  without: ${without.join(' ')}`)
    console.log(`  failed: ${failed.join(' ')}`)
    tallies.push({ passed, failed: failed.length })
  }
  return sum(tallies)
}

async function judge(node: Node, home: string, test: string): Promise<Verdict> {
  const again = await runOne(node, home, test, 'greenlets')
  if (again.end === 0) return 'passed'
  if ((await runOne(node, home, test, 'resources')).end !== 0) return 'fails without'
  const third = await runOne(node, home, test, 'greenlets')
  if (third.end === 0) return 'passed'
  console.log(`  node ${node.version} ${test} (ended with ${third.end})\n${told(third)}`)
  return 'failed'
}

const programs = (home: string, folder: string): string[] => {
  let names: string[]
  try {
    names = readdirSync(join(home, folder))
  } catch {
    return []
  }
  return names.filter((name) => /^test-.*\.m?js$/.test(name)).map((name) => `${folder}/${name}`)
}

const places: number[] = [1, 2]

async function runOne({ bin }: Node, home: string, test: string, kind: Kind): Promise<Outcome> {
  const file = join(home, test)
  const head = readFileSync(file, 'utf8')
  const list = (what: string) => new RegExp(`^// ${what}:(.*)$`, 'm').exec(head)?.[1]?.trim().split(/\s+/) ?? []
  const place = places.pop()!
  const env = {
    ...process.env,
    ...Object.fromEntries(list('Env').map((pair) => pair.split('=', 2))),
    TEST_THREAD_ID: String(place),
    EVERYWHERE: kind,
  }
  delete env['NODE_SUITE']
  try {
    return await run(bin, [...list('Flags'), `--require=${PRELOAD}`, file], { cwd: join(home, '..'), env, limit: SECONDS })
  } finally {
    places.push(place)
  }
}
