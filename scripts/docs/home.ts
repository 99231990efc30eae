// The folder in which the documents' programs run: the packed tarballs, installed without the network, and the packages of others that
// the programs import. Those are in __test__/docs/package.json; they are fetched once into .tools/docs.

import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ROOT } from './blocks.ts'

const OTHERS = join(ROOT, '.tools/docs')
/** Of this repository's own packages, those that the documents' programs may import. */
const SHARED = ['express', 'ava', '@types', 'typescript']

export interface Home {
  readonly folder: string
  readonly tarballs: readonly string[]
}

export function makeHome(): Home {
  const folder = mkdtempSync(join(tmpdir(), 'greenlets-docs-'))
  const found = tarballs()
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'app', private: true, type: 'module' }))
  execFileSync('npm', ['install', '--offline', '--no-audit', '--no-fund', '--loglevel=error', ...found], {
    cwd: folder,
  })
  const modules = join(folder, 'node_modules')
  for (const [from, names] of [
    [join(ROOT, 'node_modules'), SHARED],
    [others(), readdirSync(others()).filter((name) => !name.startsWith('.'))],
  ] as const) {
    for (const name of names) if (!existsSync(join(modules, name))) symlinkSync(join(from, name), join(modules, name))
  }
  return { folder, tarballs: found }
}

/** The package, and the binary packages for this machine. */
function tarballs(): string[] {
  const artifacts = join(ROOT, 'artifacts')
  const names = existsSync(artifacts) ? readdirSync(artifacts) : []
  const chosen = names.filter((name) => /^greenlets-(?:\d.*|(?:binding-)?linux-x64-gnu-.*)\.tgz$/.test(name))
  if (chosen.length < 2) throw new Error('there are no tarballs in artifacts/: run make pack')
  return chosen.map((name) => join(artifacts, name))
}

/** The `node_modules` with the packages of others, fetched where it is missing or older than the lock file. */
function others(): string {
  const modules = join(OTHERS, 'node_modules')
  const lock = join(ROOT, '__test__/docs/package-lock.json')
  const stamp = join(OTHERS, '.fetched')
  if (existsSync(stamp) && statSync(stamp).mtimeMs > statSync(lock).mtimeMs) return modules
  console.log('  fetching the packages of __test__/docs/package.json')
  rmSync(OTHERS, { recursive: true, force: true })
  mkdirSync(OTHERS, { recursive: true })
  for (const name of ['package.json', 'package-lock.json'])
    copyFileSync(join(ROOT, '__test__/docs', name), join(OTHERS, name))
  // Not `npm ci`, as in the Makefile.
  execFileSync('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: OTHERS })
  writeFileSync(stamp, '')
  return modules
}
