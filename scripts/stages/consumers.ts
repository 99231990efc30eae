// Tests what `npm install greenlets` gives a user: installs the packed tarballs in a fresh folder, without a compiler and without the
// network, and uses them from ESM, CommonJS and TypeScript on every Node; then the package without its platform package; then packages
// that need fibers (old-packages.ts); then with the tools that users have (consumer-tools.ts).

import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type Node, testedNodes } from '../nodes.ts'
import { type Outcome, run, twoAtOnce } from '../run.ts'
import { counted, saysOk, sum, type Tally } from '../tally.ts'
import { tools } from './consumer-tools.ts'
import { oldPackages } from './old-packages.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const MODULES = join(ROOT, 'node_modules')
const NPM = realpathSync(execFileSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' }).trim())
const TSC = [
  join(MODULES, 'typescript/bin/tsc'),
  '--strict',
  '--target',
  'es2022',
  '--module',
  'nodenext',
  '--types',
  'node',
]

export async function consumers(): Promise<Tally> {
  const tallies = await twoAtOnce(testedNodes(), async (node) => {
    const home = mkdtempSync(join(tmpdir(), 'greenlets-'))
    try {
      return await consumed(node, home)
    } finally {
      rmSync(home, { recursive: true, force: true })
    }
  })
  return sum([...tallies, await oldPackages(), await tools()])
}

async function consumed(node: Node, home: string): Promise<Tally> {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const main = join(ROOT, `artifacts/greenlets-${version}.tgz`)
  const platform = join(ROOT, `artifacts/greenlets-binding-linux-x64-gnu-${version}.tgz`)

  const env = bareEnvironment(home, node.bin)
  const start = (command: string, args: readonly string[], cwd: string) => run(command, args, { cwd, env, limit: 120 })
  const tallies: Tally[] = []
  const check = (what: string, outcome: Outcome, good: boolean) =>
    tallies.push(counted(`node ${node.version}, ${what}`, outcome, { passed: Number(good), failed: Number(!good) }))

  const whole = project(home, 'whole')
  const installed = await start('npm', ['install', '--offline', platform, main], whole)
  check('npm install', installed, installed.end === 0)
  for (const program of ['esm.mjs', 'cjs.cjs']) {
    const outcome = await start('node', [program], whole)
    check(program, outcome, saysOk(outcome))
  }

  // A TypeScript user has these types too. The compiler checks all declarations, including ours, but only those that are used: the
  // types of Koa do not fit to their own dependencies.
  symlinkSync(join(MODULES, '@types'), join(whole, 'node_modules/@types'))
  const compiled = await start('node', [...TSC, 'typed.ts'], whole)
  check('tsc typed.ts', compiled, compiled.end === 0)
  const typed = await start('node', ['typed.js'], whole)
  check('typed.js', typed, saysOk(typed))

  const partial = project(home, 'partial')
  const omitted = await start('npm', ['install', '--offline', '--omit=optional', main], partial)
  check('npm install --omit=optional', omitted, omitted.end === 0)
  const missing = await start('node', ['missing.mjs'], partial)
  check('missing.mjs', missing, saysOk(missing))

  return sum(tallies)
}

/** Only Node, npm and the shell that npm needs: no compiler, and no variable of ours. */
function bareEnvironment(home: string, node: string): NodeJS.ProcessEnv {
  const path = join(home, 'bin')
  mkdirSync(path)
  for (const [name, target] of Object.entries({ node, npm: NPM, sh: '/bin/sh' })) symlinkSync(target, join(path, name))
  return { PATH: path, HOME: home, TMPDIR: home, npm_config_update_notifier: 'false' }
}

/** An empty project with the consumers' programs in it. */
function project(home: string, name: string): string {
  const folder = join(home, name)
  cpSync(join(ROOT, '__test__/package'), folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, private: true, type: 'module' }))
  return folder
}
