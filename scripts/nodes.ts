// Gives the Nodes that greenlets is tested on. They come from the npm packages that contain Node's own binaries.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

const VERSIONS = ['20.20.2', '22.23.3', '24.21.0', '26.10.0']
/** The folder for everything that is fetched. */
export const HOME = resolve(import.meta.dirname, '../.nodes')

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
    if (installedVersion(bin) !== version) fetchInto(home, version, 'x64')
    return { version, major, bin }
  })
}

/** The path of this very Node, fetched into `.nodes/<arch>-<version>/` where missing. */
export function exactNode(version: string, arch: 'x64' | 'arm64'): string {
  const home = join(HOME, `${arch}-${version}`)
  const bin = join(home, 'bin/node')
  if (!existsSync(bin)) fetchInto(home, version, arch)
  return bin
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

function fetchInto(home: string, version: string, arch: string) {
  const name = `node-linux-${arch}`
  rmSync(home, { recursive: true, force: true })
  made(home, (partial) => {
    execFileSync('npm', ['pack', '--silent', '--pack-destination', partial, `${name}@${version}`], { stdio: 'ignore' })
    const tarball = join(partial, `${name}-${version}.tgz`)
    execFileSync('tar', ['xzf', tarball, '-C', partial, '--strip-components=1', 'package/bin/node'])
    rmSync(tarball)
  })
}

/** The folder `home`, which `make` fills where it does not exist. It gets its name when it is complete. */
export function made(home: string, make: (partial: string) => void): string {
  if (existsSync(home)) return home
  console.error(`fetching ${relative(dirname(HOME), home)}`)
  const partial = `${home}.partial`
  rmSync(partial, { recursive: true, force: true })
  mkdirSync(partial, { recursive: true })
  make(partial)
  renameSync(partial, home)
  return home
}
