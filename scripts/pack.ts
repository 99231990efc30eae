// Packs what npm users install into artifacts/: the package, and the platform package with the addon given as argument.
// Works on staged copies: the committed package.json has no optionalDependencies, since development needs none.

import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const ROOT = resolve(import.meta.dirname, '..')
const ARTIFACTS = join(ROOT, 'artifacts')
const PLATFORM = '@greenlets/binding-linux-x64-gnu'
const ADDON = 'greenlets.linux-x64-gnu.node'
const NEWEST_GLIBC = '2.17'

const [addon] = process.argv.slice(2)
if (addon === undefined) throw new Error('usage: pack.ts <addon>')
checkGlibc(addon)
rmSync(ARTIFACTS, { recursive: true, force: true })

// These fields are only for development, so they are not published.
const { scripts: _1, devDependencies: _2, napi: _3, ...ours } = JSON.parse(read('package.json'))

pack({
  folder: 'greenlets',
  face: { ...ours, optionalDependencies: { [PLATFORM]: ours.version } },
  copies: { dist: 'dist', 'README.md': 'README.md', 'CHANGELOG.md': 'CHANGELOG.md', LICENSE: 'LICENSE' },
  allowed:
    /^(?:package\.json|README\.md|CHANGELOG\.md|LICENSE|dist\/.+\.(?:js|js\.map|d\.ts|cjs|d\.cts)|dist\/cjs\/package\.json)$/,
  needed: [
    'LICENSE',
    'README.md',
    'dist/native/binding.cjs',
    'dist/native/load.cjs',
    'dist/cjs/package.json',
    ...targets(ours.exports),
  ],
})

pack({
  folder: 'binding-linux-x64-gnu',
  face: {
    name: PLATFORM,
    version: ours.version,
    description: 'The native addon of greenlets for Linux on x64 with glibc 2.17 or newer',
    license: ours.license,
    repository: ours.repository,
    engines: ours.engines,
    publishConfig: { access: 'public' },
    os: ['linux'],
    cpu: ['x64'],
    libc: ['glibc'],
    main: ADDON,
    files: [ADDON],
  },
  copies: { [addon]: ADDON, LICENSE: 'LICENSE' },
  allowed: /^(?:package\.json|LICENSE|greenlets\.linux-x64-gnu\.node)$/,
  needed: ['LICENSE', ADDON],
})

interface Package {
  readonly folder: string
  /** Its package.json. */
  readonly face: object
  /** From a path in the repository to one in the package. */
  readonly copies: Readonly<Record<string, string>>
  /** The paths that the tarball may contain, and those that it must contain. */
  readonly allowed: RegExp
  readonly needed: readonly string[]
}

function pack({ folder, face, copies, allowed, needed }: Package) {
  const home = join(ARTIFACTS, folder)
  mkdirSync(home, { recursive: true })
  for (const [from, to] of Object.entries(copies))
    cpSync(join(ROOT, from), join(home, to), { recursive: true, filter: isPacked })
  writeFileSync(join(home, 'package.json'), `${JSON.stringify(face, null, 2)}\n`)

  const report = execFileSync('npm', ['pack', '--json', '--pack-destination', ARTIFACTS], {
    cwd: home,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [{ filename, size, files }] = JSON.parse(report)
  const paths: string[] = files.map(({ path }: { path: string }) => path)
  const stray = paths.filter((path) => !allowed.test(path))
  const missing = needed.filter((path) => !paths.includes(path))
  if (stray.length > 0) throw new Error(`${filename} contains files that users do not need: ${stray.join(', ')}`)
  if (missing.length > 0) throw new Error(`${filename} lacks ${missing.join(', ')}`)
  console.log(`artifacts/${filename}: ${paths.length} files, ${(size / 1024).toFixed(0)} KiB`)
}

/** `make build` leaves the addon for this machine in dist/. */
function isPacked(path: string): boolean {
  return !path.startsWith(join(ROOT, 'dist')) || !path.endsWith('.node')
}

/** Every file that an exports map names. */
function targets(exports: unknown): string[] {
  if (typeof exports === 'string') return [exports.replace('./', '')]
  return Object.values(exports as object).flatMap(targets)
}

function checkGlibc(library: string) {
  const needs = execFileSync('readelf', ['--version-info', '--wide', library], { encoding: 'utf8' })
  const versions = [...new Set(needs.match(/(?<=\bGLIBC_)\d+\.\d+/g))]
  if (versions.length === 0) throw new Error(`${library} needs no glibc at all: readelf was misread`)
  const tooNew = versions.filter((version) => newer(version, NEWEST_GLIBC))
  if (tooNew.length > 0)
    throw new Error(`${library} needs glibc ${tooNew.join(', ')}; ${NEWEST_GLIBC} is the newest allowed`)
}

function newer(a: string, b: string): boolean {
  return a.localeCompare(b, 'en', { numeric: true }) > 0
}

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}
