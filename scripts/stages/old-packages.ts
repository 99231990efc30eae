// Runs packages that were written for node-fibers with @greenlets/fibers: the real packages, installed with npm's `overrides` from a
// registry on this machine, which has them and the packed tarballs. Each program of __test__/fibers/packages does a package's main job,
// and runs on every Node. pnpm and yarn install one package with an override of their own.

import { mkdirSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { consumerTools, installedOnce } from '../consumer-tools.ts'
import { type Node, testedNodes } from '../nodes.ts'
import { packageManagers } from '../package-managers.ts'
import { type Registry, startRegistry } from '../registry.ts'
import { run, twoAtOnce } from '../run.ts'
import { counted, saysOk, sum, type Tally } from '../tally.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const SOURCE = join(ROOT, '__test__/fibers/packages')
/** A program may have to wait for a processor. */
const LIMIT = 120

export async function oldPackages(): Promise<Tally> {
  // The cached packages have the real fibers, which is not compiled and not used.
  const cache = installedOnce(SOURCE, 'fibers', 'packages that were written for fibers')
  const registry = await startRegistry(join(ROOT, 'artifacts'), cache)
  const home = mkdtempSync(join(tmpdir(), 'greenlets-'))
  try {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
    const { dependencies } = JSON.parse(readFileSync(join(SOURCE, 'package.json'), 'utf8'))
    const fibers = `npm:@greenlets/fibers@${version}`
    const face = { private: true, dependencies: { ...dependencies, fibers }, overrides: { fibers } }
    mkdirSync(join(home, 'project'))
    const project = join(home, 'project')
    writeFileSync(join(project, 'package.json'), JSON.stringify(face))
    cpSync(join(SOURCE, 'programs'), project, { recursive: true })
    const settings = {
      npm_config_registry: registry.url,
      npm_config_cache: join(home, 'npm'),
      npm_config_audit: 'false',
    }
    const env = { ...process.env, ...settings, NODE_OPTIONS: '' }
    const installed = await run('npm', ['install', '--no-fund', '--loglevel=error'], { cwd: project, env, limit: 600 })
    // `npm ls` fails where a package has got another fibers.
    const listed = await run('npm', ['ls', 'fibers', '--all'], { cwd: project, env, limit: LIMIT })
    const good = installed.end === 0 && listed.end === 0 && !/(?<![-\w/])fibers@\d/.test(listed.output)
    const outcome = { ...installed, output: installed.output + listed.output }
    const tally = { passed: Number(good), failed: Number(!good) }
    const tallies = [counted('npm install of old packages, with an override of fibers', outcome, tally)]
    const programs = readdirSync(join(SOURCE, 'programs'))
    const runs = testedNodes().flatMap((node) => programs.map((program) => ({ node, program })))
    tallies.push(
      ...(await twoAtOnce(runs, async ({ node, program }) => {
        const result = await run(node.bin, [program], { cwd: project, env, limit: LIMIT })
        const ok = saysOk(result)
        return counted(`node ${node.version}, ${program}`, result, { passed: Number(ok), failed: Number(!ok) })
      })),
    )
    tallies.push(...(await otherManagers(testedNodes().at(-1)!, home, registry, fibers)))
    return sum(tallies)
  } finally {
    registry.close()
    rmSync(home, { recursive: true, force: true })
  }
}

/** Installs one old package with the overrides of pnpm and of yarn, and runs its program. */
async function otherManagers(node: Node, home: string, { url }: Registry, fibers: string): Promise<Tally[]> {
  const modules = join(consumerTools(), 'node_modules')
  const env = { ...process.env, NODE_OPTIONS: '', HOME: home, CI: '1' }
  const { pnpm, yarn1, yarn4 } = packageManagers(url, home)
  const managers = [
    { name: 'pnpm', manager: pnpm, overrides: { pnpm: { overrides: { fibers } } } },
    { name: 'yarn 1', manager: yarn1, overrides: { resolutions: { fibers } } },
    { name: 'yarn 4', manager: yarn4, overrides: { resolutions: { fibers } } },
  ]
  // pnpm does not change a lock file in CI, and yarn 4 makes no node_modules, unless they are told to.
  const settings = { npm_config_frozen_lockfile: 'false', YARN_NODE_LINKER: 'node-modules' }
  return twoAtOnce(managers, async ({ name, overrides, manager: { args, env: own } }) => {
    const [file, ...rest] = args
    const cwd = join(home, name.replace(' ', '-'))
    mkdirSync(cwd)
    writeFileSync(
      join(cwd, 'package.json'),
      JSON.stringify({ private: true, dependencies: { fibrous: '0.4.0' }, ...overrides }),
    )
    cpSync(join(SOURCE, 'programs/fibrous.cjs'), join(cwd, 'fibrous.cjs'))
    const options = { cwd, env: { ...env, ...settings, ...own }, limit: LIMIT }
    const installed = await run(node.bin, [join(modules, file), ...rest], options)
    const result = installed.end === 0 ? await run(node.bin, ['fibrous.cjs'], options) : installed
    const ok = installed.end === 0 && saysOk(result)
    return counted(`fibrous with the override of ${name}`, result, { passed: Number(ok), failed: Number(!ok) })
  })
}
