// Runs real clients in greenlets, on every Node: pg and ioredis with the servers that `scripts/services.ts` starts, fetch and ws with
// servers of their own, and the page of `greenlets/inspect` in Debian's Chromium. Where the servers or the browser cannot be had, the
// stage says so.

import { join, resolve } from 'node:path'
import { findChromium } from '../chromium.ts'
import { testedNodes } from '../nodes.ts'
import { run, twoAtOnce } from '../run.ts'
import { startServices } from '../services.ts'
import { countedProgram, sum, type Tally } from '../tally.ts'

const HOME = resolve(import.meta.dirname, '../../__test__/services')
const WITH_SERVERS = ['pg.mjs', 'redis.mjs']
const ALONE = ['fetch.mjs', 'ws.mjs']
const BROWSER = resolve(HOME, '../browser/page.mjs')
const SECONDS = 60
const SECONDS_OF_BROWSER = 180

export async function services(): Promise<Tally> {
  const nodes = testedNodes()
  const started = await startServices()
  const without = typeof started === 'string'
  if (without)
    console.log(`  not run: ${WITH_SERVERS.length * nodes.length} programs, ${WITH_SERVERS.join(' and ')}: ${started}`)
  try {
    const env = { ...process.env, ...(without ? {} : started.env) }
    const programs = [...(without ? [] : WITH_SERVERS), ...ALONE]
    const work = nodes.flatMap((node) => programs.map((program) => ({ node, program })))
    const tallies = await twoAtOnce(work, async ({ node, program }) => {
      const outcome = await run(node.bin, [join(HOME, program)], { limit: SECONDS, env })
      return countedProgram(`node ${node.version} ${program}`, outcome)
    })
    return sum([...tallies, ...(await withBrowser())])
  } finally {
    if (!without) await started[Symbol.asyncDispose]()
  }
}

/** One after the other: a browser takes both processors. */
async function withBrowser(): Promise<Tally[]> {
  const nodes = testedNodes()
  const chromium = findChromium()
  if (typeof chromium === 'string') {
    console.log(`  not run: ${nodes.length} programs, browser/page.mjs: ${chromium}`)
    return []
  }
  const env = { ...chromium.env, CHROMIUM: chromium.program }
  const tallies: Tally[] = []
  for (const node of nodes) {
    const outcome = await run(node.bin, [BROWSER], { limit: SECONDS_OF_BROWSER, env })
    tallies.push(countedProgram(`node ${node.version} browser`, outcome))
  }
  return tallies
}
