// Packs what npm users install into artifacts/: the package, and one package for each binary in the folder given. napi-rs makes the
// packages, in a copy of what is published; the checks here are our own. With `--all`, which a release has, a binary is missing unless
// there is one for each target that package.json names.
//
//     artifacts/*.tgz          the package, @greenlets/fibers, and the binary for this machine
//     artifacts/others/*.tgz   the binaries for other machines, on which npm refuses to install them

import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { NapiCli, parseTriple } from '@napi-rs/cli'
import { checkBinary } from './binaries.ts'

const ROOT = resolve(import.meta.dirname, '..')
const ARTIFACTS = join(ROOT, 'artifacts')
const OF_DIST = ['dist/native/binding.cjs', 'dist/native/load.cjs', 'dist/cjs/package.json']
/** The copy. napi-rs writes into it, and so nothing into the repository. */
const STAGE = join(ARTIFACTS, 'stage')
const LICENCES = 'THIRD-PARTY-LICENSES.txt'
const HERE = `${process.platform}-${process.arch}-${isMusl() ? 'musl' : 'gnu'}`

const [folder, all] = process.argv.slice(2)
if (folder === undefined || (all !== undefined && all !== '--all')) throw new Error('usage: pack.ts <folder> [--all]')

// These fields are only for development, so they are not published.
const { scripts: _1, devDependencies: _2, napi, ...ours } = JSON.parse(read('package.json'))
const { binaryName, targets } = napi
const homepage = ours.repository.url.replace(/^git\+|\.git$/g, '')
execFileSync(process.execPath, [...process.execArgv, join(ROOT, 'scripts/version.ts')], { stdio: 'inherit' })
const platforms = new Map<string, string>(
  targets.map((target: string) => [parseTriple(target).platformArchABI, target]),
)
const built = [...platforms.keys()].filter((platform) => existsSync(join(folder, binaryOf(platform))))
const missing = [...platforms.keys()].filter((platform) => !built.includes(platform))
if (built.length === 0) throw new Error(`there are no binaries in ${folder}; run 'make binaries'`)
if (missing.length > 0) {
  const text = `no binaries for ${missing.join(', ')}`
  if (all !== undefined) throw new Error(`${text}; a release has all`)
  console.log(`${text}: their packages are left out, also of optionalDependencies`)
}
for (const platform of built) checkBinary(join(folder, binaryOf(platform)), platform)

rmSync(ARTIFACTS, { recursive: true, force: true })
mkdirSync(join(ARTIFACTS, 'others'), { recursive: true })
for (const part of ['dist', 'README.md', 'CHANGELOG.md', 'LICENSE']) {
  // The addon of this machine is in dist/ for programs that use the checkout.
  cpSync(join(ROOT, part), join(STAGE, part), { recursive: true, filter: (path) => !path.endsWith('.node') })
}
// Scoped packages are private unless they say otherwise.
const publishConfig = { access: 'public' }
write(STAGE, { ...ours, publishConfig, napi: { ...napi, targets: built.map((platform) => platforms.get(platform)) } })
await makePackages()

const { napi: _4, ...main } = JSON.parse(readFileSync(join(STAGE, 'package.json'), 'utf8'))
write(STAGE, main)
const wanted = built.map((platform) => `${napi.packageName}-${platform}`)
const named = Object.entries(main.optionalDependencies ?? {})
if (
  named.length !== wanted.length ||
  named.some(([name, version]) => !wanted.includes(name) || version !== ours.version)
) {
  throw new Error(`optionalDependencies are ${JSON.stringify(main.optionalDependencies)}, not ${wanted.join(', ')}`)
}
pack({
  folder: STAGE,
  to: ARTIFACTS,
  allowed: /^(?:package\.json|README\.md|CHANGELOG\.md|LICENSE|dist\/.+\.(?:js|js\.map|d\.ts|cjs|d\.cts|json))$/,
  needed: ['LICENSE', 'README.md', ...OF_DIST, ...filesOf(ours.exports)],
})
packFibers()
for (const platform of built) {
  const home = join(STAGE, 'npm', platform)
  const files = ['LICENSE', 'README.md', LICENCES, binaryOf(platform), 'package.json']
  pack({
    folder: home,
    to: platform === HERE ? ARTIFACTS : join(ARTIFACTS, 'others'),
    allowed: new RegExp(`^(?:${files.join('|').replaceAll('.', '\\.')})$`),
    needed: files,
  })
}

/** The package `@greenlets/fibers`, which only passes on what `greenlets/fibers` exports. */
function packFibers(): void {
  const home = join(STAGE, 'fibers')
  cpSync(join(ROOT, 'packages/fibers'), home, { recursive: true })
  copyFileSync(join(ROOT, 'LICENSE'), join(home, 'LICENSE'))
  const face = JSON.parse(read('packages/fibers/package.json'))
  write(home, { ...face, publishConfig })
  const files = ['LICENSE', 'README.md', 'package.json', ...face.files]
  const allowed = new RegExp(`^(?:${files.join('|').replaceAll('.', '\\.')})$`)
  pack({ folder: home, to: ARTIFACTS, allowed, needed: files })
}

/**
 * The packages of the binaries, made by napi-rs, and `optionalDependencies` of the main one. Nothing is published:
 * `prePublish` is told not to, and this process knows no registry.
 */
async function makePackages(): Promise<void> {
  process.env['npm_config_registry'] = 'http://127.0.0.1:9/'
  const cli = new NapiCli()
  const options = { cwd: STAGE, npmDir: 'npm' }
  await cli.createNpmDirs(options)
  for (const platform of built) {
    const home = join(STAGE, 'npm', platform)
    copyFileSync(join(ROOT, 'LICENSE'), join(home, 'LICENSE'))
    copyFileSync(join(ROOT, LICENCES), join(home, LICENCES))
    const readme = `# ${napi.packageName}-${platform}\n\nThe native addon of [greenlets](${homepage}) for ${platform}. Install \`greenlets\`, which brings it.\n`
    writeFileSync(join(home, 'README.md'), readme)
    const face = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'))
    write(home, {
      ...face,
      description: `The native addon of greenlets for ${platform}`,
      files: [...face.files, LICENCES],
    })
  }
  await cli.artifacts({ ...options, outputDir: resolve(folder!) })
  await cli.version(options)
  await cli.prePublish({ ...options, tagStyle: 'npm', skipOptionalPublish: true, ghRelease: false })
}

interface Package {
  readonly folder: string
  readonly to: string
  /** The paths that the tarball may contain, and those that it must contain. */
  readonly allowed: RegExp
  readonly needed: readonly string[]
}

function pack({ folder, to, allowed, needed }: Package): void {
  const report = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', to], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [{ filename, size, files }] = JSON.parse(report)
  const paths: string[] = files.map(({ path }: { path: string }) => path)
  const stray = paths.filter((path) => !allowed.test(path))
  const lacking = needed.filter((path) => !paths.includes(path))
  if (stray.length > 0) throw new Error(`${filename} contains files that users do not need: ${stray.join(', ')}`)
  if (lacking.length > 0) throw new Error(`${filename} lacks ${lacking.join(', ')}`)
  console.log(`${to.slice(ROOT.length + 1)}/${filename}: ${paths.length} files, ${(size / 1024).toFixed(0)} KiB`)
}

/** Every file that an exports map names. */
function filesOf(exports: unknown): string[] {
  if (typeof exports === 'string') return [exports.replace('./', '')]
  return Object.values(exports as object).flatMap(filesOf)
}

/** The crates have the version of the package. */
function binaryOf(platform: string): string {
  return `${binaryName}.${platform}.node`
}

function isMusl(): boolean {
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } }
  return process.platform === 'linux' && header.glibcVersionRuntime === undefined
}

function write(folder: string, face: object): void {
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(face, null, 2)}\n`)
}

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}
