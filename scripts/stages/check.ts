// The short test for `make check`, on the Node that runs this file: lint, the core's tests with the switch that the addon has, and all
// specs except those that repeat one thing for seconds.

import { run } from '../run.ts'
import { allSpecs, repeats, unknownEntries } from '../specs.ts'
import { counted, sum, type Tally } from '../tally.ts'
import { runSpecs } from './ava.ts'
import { coreTests } from './rust.ts'

const FEW_PROGRAMS = '100'

export async function check(): Promise<Tally> {
  const lint = await run('make', ['--no-print-directory', 'lint'])
  const good = lint.end === 0
  const linted = counted('make lint', lint, { passed: Number(good), failed: Number(!good) })

  const core = await coreTests(undefined, FEW_PROGRAMS)

  const specs = allSpecs()
  const left = specs.filter(repeats)
  const { node: version } = process.versions
  const node = { version, major: Number.parseInt(version), bin: process.execPath }
  const rest = specs.filter((spec) => !left.includes(spec))
  const { tally } = await runSpecs(node, rest, { name: undefined })

  console.log(`  not run: ${left.length} specs that repeat one thing for seconds: ${left.join(' ')}`)
  console.log(
    "  not run: other Nodes, other flags and settings, the core's other switch, the packed tarballs: see make test",
  )
  const unknown = unknownEntries(specs)
  if (unknown.length > 0) console.log(`  these entries in scripts/specs.ts match no spec: ${unknown.join(' ')}`)
  return sum([linted, core.tally, tally, { passed: 0, failed: unknown.length }])
}
