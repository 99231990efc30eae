// Builds the addon with a Cargo feature, beside the one that is shipped, and quickly: without link-time optimisation. All variants share
// a target directory, so that only the two crates of this repository are compiled for each.

import { copyFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Outcome, run } from './run.ts'

const ROOT = resolve(import.meta.dirname, '..')
const HOME = join(ROOT, 'target/variants')
const QUICKLY = { CARGO_PROFILE_RELEASE_LTO: 'off', CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '16' }
const SECONDS = 1200

/** The path of the addon, and what cargo said. */
export async function buildVariant(feature: string): Promise<{ addon: string; built: Outcome }> {
  const options = ['build', '--release', '--package', 'greenlets-napi', '--features', feature, '--target-dir', HOME]
  const built = await run('cargo', options, { cwd: ROOT, limit: SECONDS, env: { ...process.env, ...QUICKLY } })
  const addon = join(HOME, `${feature}.node`)
  if (built.end === 0) copyFileSync(join(HOME, 'release/libgreenlets_napi.so'), addon)
  return { addon, built }
}
