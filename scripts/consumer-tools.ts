// Installs packages from npm's registry once, into .consumers/, which git ignores: the bundlers, test runners and package managers of
// __test__/consumers/package.json, and what scripts/stages/old-packages.ts runs.

import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const SOURCE = resolve(import.meta.dirname, '../__test__/consumers')
const HOME = resolve(import.meta.dirname, '../.consumers')

/** The folder with the tools' node_modules. Projects in it find the tools as their own. */
export function consumerTools(): string {
  return installedOnce(SOURCE, '', 'bundlers, test runners and package managers')
}

/** The folder of `.consumers` with the node_modules for the lock file in `source`. They have not run scripts. */
export function installedOnce(source: string, name: string, what: string): string {
  const home = join(HOME, name)
  /** The lock file that was installed last. */
  const stamp = join(home, 'node_modules/.installed')
  const lock = readFileSync(join(source, 'package-lock.json'), 'utf8')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return home
  console.log(`fetching ${what}`)
  mkdirSync(home, { recursive: true })
  for (const file of ['package.json', 'package-lock.json']) copyFileSync(join(source, file), join(home, file))
  // Not `npm ci`; see the Makefile.
  const args = ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  execFileSync('npm', args, { cwd: home, stdio: ['ignore', 'ignore', 'inherit'] })
  writeFileSync(stamp, lock)
  return home
}
