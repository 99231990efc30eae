// Runs real clients in greenlets, on every Node: pg and ioredis with the servers that `scripts/services.ts` starts, fetch and ws with
// servers of their own. Where the first two cannot be had, the stage says so.

import { join, resolve } from 'node:path'
import { testedNodes } from '../nodes.ts'
import { run, twoAtOnce } from '../run.ts'
import { startServices } from '../services.ts'
import { counted, saysOk, sum, type Tally } from '../tally.ts'

const HOME = resolve(import.meta.dirname, '../../__test__/services')
const WITH_SERVERS = ['pg.mjs', 'redis.mjs']
const ALONE = ['fetch.mjs', 'ws.mjs']
const SECONDS = 60

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
      const good = saysOk(outcome)
      return counted(`node ${node.version} ${program}`, outcome, { passed: Number(good), failed: Number(!good) })
    })
    return sum(tallies)
  } finally {
    if (!without) await started[Symbol.asyncDispose]()
  }
}
