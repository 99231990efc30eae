// Fetches Node's own tests. No npm package contains them, but Debian's source package of Node does.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { debianMirror } from './debian.ts'

const HOME = resolve(import.meta.dirname, '../.nodes/tests')
/** Debian's releases, oldest first. */
const RELEASES = ['trixie', 'forky', 'sid']
/** The folders of the source package that the tests read. */
const PARTS = ['test', 'lib', 'doc/api', 'benchmark', 'tools']

interface Source {
  readonly version: string
  readonly path: string
  readonly sha256: string
}

/**
 * The directory with the sources of the newest Node up to `major` that Debian has, fetched where missing.
 *
 * @throws Error where this machine's package manager is not Debian's.
 */
export function nodeTests(major: number): string {
  const home = join(HOME, String(major))
  if (existsSync(home)) return home
  const source = sources()
    .filter(({ version }) => Number.parseInt(version) <= major)
    .reduce((best, other) => (Number.parseInt(other.version) > Number.parseInt(best.version) ? other : best))
  console.log(`fetching the tests of Node ${source.version}`)
  const tarball = fetched(source.path)
  const sha256 = createHash('sha256').update(tarball).digest('hex')
  if (sha256 !== source.sha256) throw new Error(`${source.path} does not have the checksum of Debian's index`)
  const partial = `${home}.partial`
  rmSync(partial, { recursive: true, force: true })
  mkdirSync(partial, { recursive: true })
  const parts = PARTS.map((part) => `*/${part}`)
  const options = ['--extract', '--xz', '--strip-components=1', '--wildcards', '--no-wildcards-match-slash']
  execFileSync('tar', [...options, ...parts], { cwd: partial, input: tarball })
  // Without it the tests would find our package.json, which says that they are ES modules.
  writeFileSync(join(partial, 'package.json'), '{}')
  renameSync(partial, home)
  return home
}

let known: readonly Source[] | undefined
const sources = () => (known ??= RELEASES.flatMap(ofRelease))

function ofRelease(release: string): Source[] {
  const index = execFileSync('xz', ['-dc'], {
    input: fetched(`dists/${release}/main/source/Sources.xz`),
    maxBuffer: 2 ** 30,
    encoding: 'utf8',
  })
  return [...index.matchAll(/^Package: nodejs\n(?:.+\n)+/gm)].map(([paragraph]) => {
    const found = (pattern: RegExp) => pattern.exec(paragraph)!.groups!
    const { version, directory } = {
      ...found(/^Version: (?<version>.*)$/m),
      ...found(/^Directory: (?<directory>.*)$/m),
    }
    const { sha256, file } = found(/^ (?<sha256>[0-9a-f]{64}) \d+ (?<file>\S+\.orig\.tar\.xz)$/m)
    return { version: version!, path: `${directory}/${file}`, sha256: sha256! }
  })
}

/** A file of the Debian mirror that this machine's package manager uses. */
function fetched(path: string): Buffer {
  const url = `${debianMirror()}/${path.split('/').map(encodeURIComponent).join('/')}`
  return execFileSync('curl', ['-fsSL', '--retry', '3', url], { maxBuffer: 2 ** 28 })
}
