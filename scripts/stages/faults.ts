// Loading with each fact about V8 broken on purpose, on every Node: the addon is built once more, with the feature for it.

import { copyFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { testedNodes } from '../nodes.ts'
import { run } from '../run.ts'
import { counted, sum, type Tally } from '../tally.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const HOME = join(ROOT, 'target/faults')
const ADDON = join(HOME, 'greenlets.node')
const BUILD = ['build', '--release', '--package', 'greenlets-napi', '--features', 'faults', '--target-dir', HOME]

export async function faults(): Promise<Tally> {
  const built = await run('cargo', BUILD, { cwd: ROOT, limit: 1200 })
  if (built.end !== 0) return counted('cargo build', built, { passed: 0, failed: 1 })
  copyFileSync(join(HOME, 'release/libgreenlets_napi.so'), ADDON)

  const tallies: Tally[] = []
  for (const { bin, version } of testedNodes()) {
    const outcome = await run(bin, [join(ROOT, '__test__/faults.mjs'), ADDON], { limit: 300 })
    const passed = outcome.output.match(/^as it must be: /gm)?.length ?? 0
    const failed = outcome.output.match(/^NOT as it must be: /gm)?.length ?? 0
    tallies.push(counted(`node ${version}`, outcome, { passed, failed }))
  }
  return sum(tallies)
}
