// Everything of a release but the upload: what the tarballs say, what the changelog says, and `npm publish --dry-run` of each tarball.
// With RELEASE_TAG, which the release workflow sets to the git tag, it also wants what a release has: a tag that names the version, a
// section of the changelog with a date, and a binary for each platform.

import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { parseTriple } from '@napi-rs/cli'
import { type Outcome, run } from '../run.ts'
import { counted, sum, type Tally } from '../tally.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const ARTIFACTS = join(ROOT, 'artifacts')
/** A dry run asks no registry. At this address there is none, so that a mistake here cannot publish anything. */
const NOWHERE = ['--dry-run', '--registry', 'http://127.0.0.1:9/', '--fetch-retries', '0']
/** Of the binaries' packages. */
const LICENCES = ['LICENSE', 'THIRD-PARTY-LICENSES.txt']

/** A package.json, as far as it is read here. */
interface Face {
  readonly name: string
  readonly version: string
  readonly license?: string
  readonly repository?: { readonly url: string }
  readonly publishConfig?: { readonly access?: string }
  readonly os?: readonly string[]
  readonly cpu?: readonly string[]
  readonly libc?: readonly string[]
  readonly main?: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

export async function release(): Promise<Tally> {
  const tag = process.env['RELEASE_TAG'] || undefined
  const ours = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const tarballs = [ARTIFACTS, join(ARTIFACTS, 'others')].flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => name.endsWith('.tgz'))
      .map((name) => join(folder, name)),
  )
  const faces = tarballs.map((tarball) => faceOf(tarball))
  const main = faces.find(({ name }) => name === ours.name)

  const tallies = [
    said('the changelog', changelogProblems(ours.version, tag)),
    said('the packages', main === undefined ? ['there is no main package'] : packageProblems(ours, main, faces, tag)),
  ]
  for (const [i, tarball] of tarballs.entries()) tallies.push(await published(tarball, faces[i]!))
  if (tag === undefined)
    console.log('  not checked without RELEASE_TAG: the tag, a dated changelog, that no platform is missing')
  return sum(tallies)
}

function changelogProblems(version: string, tag: string | undefined): string[] {
  const changelog = readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8')
  const [, newest] = /^## \[(.+?)\]/m.exec(changelog) ?? []
  if (tag === undefined) return newest === 'Unreleased' || newest === version ? [] : [`it begins with ${newest}`]
  const isDated = changelog.includes(`\n## [${version}] - 20`)
  return [
    ...(tag === `v${version}` ? [] : [`the tag is ${tag}, but package.json has version ${version}`]),
    ...(isDated ? [] : [`CHANGELOG.md has no section '## [${version}] - <date>'`]),
  ]
}

function packageProblems(
  ours: { version: string; napi: { packageName: string; targets: string[] } },
  main: Face,
  faces: readonly Face[],
  tag: string | undefined,
): string[] {
  const platforms = ours.napi.targets.map((target) => parseTriple(target))
  const names = new Map(platforms.map((platform) => [`${ours.napi.packageName}-${platform.platformArchABI}`, platform]))
  const binaries = faces.filter(({ name }) => name.startsWith(ours.napi.packageName))
  const found = new Set(binaries.map(({ name }) => name))
  const missing = [...names.keys()].filter((name) => !found.has(name))
  const problems = faces.flatMap((face) => {
    const wrong: string[] = []
    if (face.version !== ours.version) wrong.push(`version ${face.version}, not ${ours.version}`)
    if (face.license !== 'MIT') wrong.push(`licence ${face.license}`)
    if (face.repository?.url.startsWith('git+https://') !== true) wrong.push('no repository, which provenance needs')
    if (face.publishConfig?.access !== 'public') wrong.push('is not public')
    return wrong.map((text) => `${face.name}: ${text}`)
  })
  for (const face of binaries) {
    const platform = names.get(face.name)
    const libc = platform?.abi === 'gnu' ? 'glibc' : platform?.abi
    const wanted = [platform?.platform, platform?.arch, libc, `greenlets.${platform?.platformArchABI}.node`]
    const says = [face.os, face.cpu, face.libc, face.main].map(String)
    if (says.join() !== wanted.join()) problems.push(`${face.name}: for ${says.join(' ')}, not ${wanted.join(' ')}`)
  }
  const optional = Object.keys(main.optionalDependencies ?? {}).toSorted()
  const dropIn = faces.find(({ name }) => name === '@greenlets/fibers')
  if (dropIn?.dependencies?.['greenlets'] !== ours.version) problems.push('@greenlets/fibers needs another version')
  if (optional.join() !== [...found].toSorted().join()) problems.push(`optionalDependencies: ${optional.join(', ')}`)
  if (tag !== undefined && missing.length > 0) problems.push(`no package ${missing.join(', ')}`)
  return problems
}

/** What npm would publish: the same package as the tarball has, and for a binary its licences. */
async function published(tarball: string, face: Face): Promise<Tally> {
  const outcome = await run('npm', ['publish', ...NOWHERE, '--json', tarball], { cwd: ARTIFACTS, limit: 300 })
  const isPublic = outcome.output.includes('with tag latest and public access (dry-run)')
  const isWhole =
    outcome.output.includes(`"id": "${face.name}@${face.version}"`) &&
    (face.os === undefined || LICENCES.every((file) => outcome.output.includes(`"path": "${file}"`)))
  const good = outcome.end === 0 && isPublic && isWhole
  return counted(`npm publish --dry-run ${basename(tarball)}`, outcome, { passed: Number(good), failed: Number(!good) })
}

function faceOf(tarball: string): Face {
  return JSON.parse(execFileSync('tar', ['xOf', tarball, 'package/package.json'], { encoding: 'utf8' }))
}

function said(what: string, problems: readonly string[]): Tally {
  const outcome: Outcome = { end: problems.length === 0 ? 0 : 1, output: problems.join('\n'), seconds: 0 }
  return counted(what, outcome, { passed: problems.length === 0 ? 1 : 0, failed: problems.length })
}
