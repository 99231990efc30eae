// Loads the packed package with the tools that its users have: bundlers, test runners, compilers and package managers. Each case is a
// few programs, of which the last one must say ok. The tools run on one Node, and what they make on all of them. The variable CONSUMERS
// is a pattern that chooses cases by their name.

import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { consumerTools } from '../consumer-tools.ts'
import { type Node, testedNodes } from '../nodes.ts'
import { type PackageManager, packageManagers } from '../package-managers.ts'
import { startRegistry } from '../registry.ts'
import { type Outcome, run, twoAtOnce } from '../run.ts'
import { counted, saysOk, sum, type Tally } from '../tally.ts'
import type { Case, Context, Step } from './consumer-cases.ts'
import { maps, suites } from './consumer-testing.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const ARTIFACTS = join(ROOT, 'artifacts')
const BINARY = 'greenlets.linux-x64-gnu.node'
const LIMIT = 600

export async function tools(): Promise<Tally> {
  const home = consumerTools()
  const scratch = mkdtempSync(join(tmpdir(), 'greenlets-'))
  const registry = await startRegistry(ARTIFACTS, home)
  const nodes = testedNodes()
  const node = nodes.at(-2) ?? nodes[0]!
  try {
    // `npm link` wants it to exist.
    mkdirSync(join(scratch, 'prefix/lib'), { recursive: true })
    const project = join(home, 'project')
    rmSync(project, { recursive: true, force: true })
    const npm = npmIn(scratch, registry.url)
    const start = programs(project)
    writeFileSync(join(project, 'package.json'), '{ "name": "project", "private": true }')
    const installed = await all({ what: 'npm install', steps: [npm(project, 'install', 'greenlets')], good: endsWell })
    const context = { home, project, scratch, registry: registry.url, nodes, node, npm, start }
    const cases = [bundles, executables, runners, suites, maps, managers].flatMap((casesOf) => casesOf(context))
    const chosen = process.env['CONSUMERS']
    const wanted = cases.filter(({ what }) => chosen === undefined || new RegExp(chosen).test(what))
    return sum([installed, ...(await twoAtOnce(wanted, all))])
  } finally {
    registry.close()
    rmSync(scratch, { recursive: true, force: true })
  }
}

async function all({ what, steps, good = saysOk }: Case): Promise<Tally> {
  let seconds = 0
  for (const [index, { command, args, cwd, env, prepare }] of steps.entries()) {
    prepare?.()
    const outcome = await run(command, args, { cwd, limit: LIMIT, env: { ...process.env, ...env } })
    seconds += outcome.seconds
    const isLast = index === steps.length - 1
    const isGood = isLast ? good(outcome) : endsWell(outcome)
    if (isLast || !isGood) {
      const tally = { passed: Number(isGood), failed: Number(!isGood) }
      return counted(`${what}${isLast ? '' : `, step ${index + 1}`}`, { ...outcome, seconds }, tally)
    }
  }
  throw new Error(`${what} has no steps`)
}

const endsWell = ({ end }: Outcome): boolean => end === 0

function npmIn(scratch: string, registry: string): Context['npm'] {
  const settings = { npm_config_registry: registry, npm_config_cache: join(scratch, 'npm'), npm_config_audit: 'false' }
  return (cwd, ...args) => ({
    command: 'npm',
    args: [...args, '--no-fund', '--loglevel=error'],
    cwd,
    env: { ...settings, npm_config_prefix: join(scratch, 'prefix') },
  })
}

/** Copies the programs to a project. `body.cjs` is `body.mjs` as CommonJS. */
function programs(project: string): Context['start'] {
  copyPrograms(project)
  return (cwd, { bin }, ...args) => ({
    command: bin,
    args,
    cwd,
    env: { PATH: `${dirname(bin)}:${process.env['PATH']}`, NODE_OPTIONS: '' },
  })
}

function copyPrograms(project: string): void {
  cpSync(join(ROOT, '__test__/consumers/programs'), project, { recursive: true })
  const body = readFileSync(join(project, 'body.mjs'), 'utf8')
  writeFileSync(join(project, 'body.cjs'), `${body.replace('export async', 'async')}\nmodule.exports = { body }\n`)
}

/** Bundles with the binary outside, and with it copied; those run where there is no node_modules. */
function bundles({ project, scratch, nodes, node, start }: Context): Case[] {
  return [
    ['esbuild', 'cjs', 'external', 'require.cjs'],
    ['esbuild', 'esm', 'external', 'import.mjs'],
    ['esbuild', 'esm', 'copied', 'import.mjs'],
    ['webpack', 'cjs', 'external', 'require.cjs'],
    ['webpack', 'esm', 'external', 'import.mjs'],
    ['webpack', 'esm', 'copied', 'import.mjs'],
    ['rspack', 'cjs', 'copied', 'require.cjs'],
    ['rspack', 'esm', 'external', 'import.mjs'],
    ['rollup', 'cjs', 'external', 'import.mjs'],
    ['rollup', 'esm', 'external', 'import.mjs'],
    ['vite', 'esm', 'external', 'import.mjs'],
    ['tsdown', 'esm', 'external', 'import.mjs'],
    ['ncc', 'cjs', 'copied', 'require.cjs'],
    ['parcel', 'cjs', 'external', 'import.mjs'],
    ['esbuild', 'cjs', 'external', 'watch.mjs'],
    ['rollup', 'esm', 'external', 'watch.mjs'],
    ['webpack', 'esm', 'external', 'watch.mjs'],
  ].map(([tool, format, mode, entry]) => {
    const name = `${tool}-${format}-${mode}${entry === 'watch.mjs' ? '-watch' : ''}`
    const folder = join(mode === 'copied' ? scratch : join(project, 'out'), name)
    const file = join(folder, format === 'cjs' ? 'main.cjs' : 'main.mjs')
    const prepare = () => mkdirSync(folder, { recursive: true })
    const bundling = start(project, node, 'bundle.mjs', tool!, format!, mode!, `./${entry}`, file)
    return { what: name, steps: [{ ...bundling, prepare }, ...nodes.map((each) => start(folder, each, file))] }
  })
}

/** A single executable application with the addon as an asset. */
function executables({ home, project, scratch, node, start }: Context): Case[] {
  const folder = join(scratch, 'sea')
  const [bundle, config, blob, program] = ['main.cjs', 'sea.json', 'sea.blob', 'program'].map((name) =>
    join(folder, name),
  ) as [string, string, string, string]
  const prepare = () => {
    mkdirSync(folder)
    const binary = join(project, 'node_modules/@greenlets/binding-linux-x64-gnu', BINARY)
    const options = { main: bundle, output: blob, disableExperimentalSEAWarning: true, assets: { [BINARY]: binary } }
    writeFileSync(config, JSON.stringify(options))
    cpSync(node.bin, program)
  }
  const postject = join(home, 'node_modules/postject/dist/cli.js')
  const fuse = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2'
  return [
    {
      what: 'single executable application',
      steps: [
        { ...start(project, node, 'bundle.mjs', 'esbuild', 'cjs', 'external', './require.cjs', bundle), prepare },
        start(folder, node, '--experimental-sea-config', config),
        start(folder, node, postject, program, 'NODE_SEA_BLOB', blob, '--sentinel-fuse', fuse),
        { command: program, args: [], cwd: folder },
      ],
    },
  ]
}

function runners({ home, project, nodes, node, start }: Context): Case[] {
  const cwd = join(project, 'runners')
  const jest = (each: Node, transform: string): Case => {
    const step = start(cwd, each, join(home, 'node_modules/jest/bin/jest.js'), '--config=jest.config.cjs', '-i')
    const what = `jest, transform ${transform}, node ${each.version}`
    return { what, steps: [{ ...step, env: { ...step.env, TRANSFORM: transform } }], good: endsWell }
  }
  const tsc = join(home, 'node_modules/typescript/bin/tsc')
  const compiled = (name: string): Case => {
    const options = ['--module', name === 'node16' ? name : 'commonjs', '--moduleResolution', name, '--outDir', name]
    const steps = [start(cwd, node, tsc, '-p', '.', ...options), start(cwd, node, join(name, 'typed.js'))]
    return { what: `tsc, moduleResolution ${name}`, steps }
  }
  return [
    ...nodes.map((each) => jest(each, 'none')),
    ...['ts-jest', 'babel-jest', '@swc/jest'].map((transform) => jest(node, transform)),
    compiled('node16'),
    compiled('node10'),
    { what: 'ts-node', steps: [start(cwd, node, join(home, 'node_modules/ts-node/dist/bin.js'), 'typed.ts')] },
    ...[[], ['require']].map((first) => ({
      what: `both builds in one thread, ${first[0] ?? 'import'} first`,
      steps: nodes.map((each) => start(project, each, 'both.mjs', ...first)),
    })),
  ]
}

function managers({ home, scratch, registry, node, npm, start }: Context): Case[] {
  const inside = (name: string, manifest: object, steps: (cwd: string) => readonly Step[]): Case => {
    const cwd = join(scratch, name)
    const [first, ...rest] = steps(cwd)
    const prepare = () => {
      mkdirSync(cwd)
      copyPrograms(cwd)
      rmSync(join(cwd, 'runners'), { recursive: true })
      writeFileSync(join(cwd, 'package.json'), JSON.stringify({ name: 'project', private: true, ...manifest }))
    }
    return { what: name, steps: [{ ...first!, prepare }, ...rest] }
  }
  const { pnpm, yarn1, yarn4 } = packageManagers(registry, scratch)
  const install = (cwd: string, { args: [file, ...args], env }: PackageManager, ...more: string[]): Step => {
    const step = start(cwd, node, join(home, 'node_modules', file), ...args, ...more)
    return { ...step, env: { ...step.env, HOME: scratch, CI: '1', ...env } }
  }
  const both = (cwd: string, ...flags: string[]) => [
    start(cwd, node, ...flags, 'require.cjs'),
    start(cwd, node, ...flags, 'import.mjs'),
  ]
  const dependencies = { greenlets: '*' }
  return [
    inside('npm link', {}, (cwd) => [npm(cwd, 'link', ROOT), ...both(cwd)]),
    inside('npm install file', {}, (cwd) => [npm(cwd, 'install', `file:${ROOT}`), ...both(cwd)]),
    inside('npm install --install-links', {}, (cwd) => [npm(cwd, 'install', '--install-links', ROOT), ...both(cwd)]),
    inside('npm install express@4 greenlets', {}, (cwd) => [
      npm(cwd, 'install', 'express@4', 'greenlets'),
      ...both(cwd),
    ]),
    inside('pnpm', { dependencies }, (cwd) => [install(cwd, pnpm, '--config.hoist=false'), ...both(cwd)]),
    inside('yarn 1', { dependencies }, (cwd) => [install(cwd, yarn1), ...both(cwd)]),
    inside('yarn 4, PnP', { dependencies }, (cwd) => {
      return [
        install(cwd, yarn4),
        start(cwd, node, '--require', './.pnp.cjs', 'require.cjs'),
        start(cwd, node, '--no-warnings', '--require', './.pnp.cjs', '--loader', './.pnp.loader.mjs', 'import.mjs'),
      ]
    }),
  ]
}
