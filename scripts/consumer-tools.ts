// Gives the bundlers, test runners and package managers of __test__/consumers/package.json. They are installed once into .consumers/,
// which git ignores.

import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const SOURCE = resolve(import.meta.dirname, '../__test__/consumers')
const HOME = resolve(import.meta.dirname, '../.consumers')
/** The lock file that was installed last. */
const STAMP = join(HOME, 'node_modules/.installed')

/** The folder with their node_modules. Projects in it find the tools as their own. */
export function consumerTools(): string {
  const lock = readFileSync(join(SOURCE, 'package-lock.json'), 'utf8')
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === lock) return HOME
  console.log('fetching bundlers, test runners and package managers')
  mkdirSync(HOME, { recursive: true })
  for (const file of ['package.json', 'package-lock.json']) copyFileSync(join(SOURCE, file), join(HOME, file))
  // Not `npm ci`; see the Makefile.
  const args = ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  execFileSync('npm', args, { cwd: HOME, stdio: ['ignore', 'ignore', 'inherit'] })
  writeFileSync(STAMP, lock)
  return HOME
}
