// Checks that the version is the same wherever it is written down; `--write` writes package.json's everywhere. It is not read from
// package.json at run time, because a bundle has none.

import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const ROOT = resolve(import.meta.dirname, '..')
/** The version is the second group. */
const PLACES: Readonly<Record<string, RegExp>> = {
  'Cargo.toml': /(^\[workspace\.package\]\nversion = ")([^"]+)/m,
  'js/common/version.ts': /(version: string = ')([^']+)/,
  'js/native/load.cjs': /(const VERSION = ')([^']+)/,
  // Its own version, and that of greenlets.
  'packages/fibers/package.json': /("(?:version|greenlets)": ")(\d[^"]*)/g,
  'js/native/binding.cjs': /(bindingPackageVersion !== '|version mismatch, expected )([^' ]+)/g,
}

const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
for (const [file, pattern] of Object.entries(PLACES)) {
  const path = join(ROOT, file)
  const text = readFileSync(path, 'utf8')
  if (text.search(pattern) === -1) throw new Error(`${file} has no version where scripts/version.ts looks for it`)
  const right = text.replace(pattern, (_, before: string) => before + version)
  if (right === text) continue
  if (process.argv.includes('--write')) {
    writeFileSync(path, right)
    continue
  }
  console.error(
    `${file} has another version than package.json, ${version}; run: node --import=@oxc-node/core/register scripts/version.ts --write`,
  )
  process.exitCode = 1
}
if (process.exitCode !== 1) console.log(`version: ${version} everywhere`)
