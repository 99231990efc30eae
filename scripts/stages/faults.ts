// Loads the addon with each fact about V8 broken on purpose, on every Node. For this the addon is built once more, with the feature
// `faults`, and quickly: what is tested is how it learns the facts, which does not depend on how well it is optimised.

import { join, resolve } from 'node:path'
import { testedNodes } from '../nodes.ts'
import { run, twoAtOnce } from '../run.ts'
import { counted, sum, type Tally } from '../tally.ts'
import { buildVariant } from '../variant.ts'

const ROOT = resolve(import.meta.dirname, '../..')

export async function faults(): Promise<Tally> {
  const { addon, built } = await buildVariant('faults')
  if (built.end !== 0) return counted('cargo build', built, { passed: 0, failed: 1 })

  const tallies = await twoAtOnce(testedNodes(), async ({ bin, version }) => {
    const outcome = await run(bin, [join(ROOT, '__test__/faults.mjs'), addon], { limit: 600 })
    const passed = outcome.output.match(/^as it must be: /gm)?.length ?? 0
    const failed = outcome.output.match(/^NOT as it must be: /gm)?.length ?? 0
    return counted(`node ${version}`, outcome, { passed, failed })
  })
  return sum(tallies)
}
