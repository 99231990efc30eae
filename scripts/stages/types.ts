// Compiles __test__/types against the built declarations, with the oldest compiler that the package supports and with the newest ones of
// each major version since. The compilers check the declarations themselves too, those of Node.js and Express included.

import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { run, twoAtOnce } from '../run.ts'
import { counted, sum, type Tally } from '../tally.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const COMPILERS = join(ROOT, '.tools/typescript')

/** 5.4 is the first one with `NoInfer`. The one of package.json is tested too. */
const VERSIONS = ['5.4.2', '6.0.3']

const OPTIONS = (
  '--noEmit --target es2022 --types node --skipLibCheck false ' +
  '--strict --exactOptionalPropertyTypes --noImplicitOverride'
).split(' ')

/** How programs resolve modules. */
const KINDS = {
  'an ES module': ['--module', 'nodenext'],
  'a bundled program': ['--module', 'esnext', '--moduleResolution', 'bundler'],
}

export async function types(): Promise<Tally> {
  const own = join(ROOT, 'node_modules/typescript')
  const compilers = [own, ...VERSIONS.map(compiler)]
  const home = mkdtempSync(join(tmpdir(), 'greenlets-'))
  try {
    layOut(home)
    const runs = compilers.map((folder): [string, keyof typeof KINDS] => [folder, 'an ES module'])
    // It finds the same files, so one compiler is enough.
    runs.push([own, 'a bundled program'])
    return sum(await twoAtOnce(runs, ([folder, kind]) => compiled(folder, kind, home)))
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}

async function compiled(folder: string, kind: keyof typeof KINDS, home: string): Promise<Tally> {
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }
  const args = [join(folder, 'bin/tsc'), ...OPTIONS, ...KINDS[kind], 'api.ts']
  const outcome = await run(process.execPath, args, { cwd: home, limit: 240 })
  const passed = Number(outcome.end === 0)
  return counted(`TypeScript ${version}, ${kind}`, outcome, { passed, failed: 1 - passed })
}

/** A project that has the package as npm would install it, and the types of Node.js and Express. */
function layOut(home: string): void {
  const installed = join(home, 'node_modules/greenlets')
  mkdirSync(installed, { recursive: true })
  cpSync(join(ROOT, 'dist'), join(installed, 'dist'), { recursive: true })
  cpSync(join(ROOT, 'package.json'), join(installed, 'package.json'))
  symlinkSync(join(ROOT, 'node_modules/@types'), join(home, 'node_modules/@types'))
  cpSync(join(ROOT, '__test__/types'), home, { recursive: true })
  writeFileSync(join(home, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
}

/** The folder of a compiler, which is fetched where it is missing. */
function compiler(version: string): string {
  const folder = join(COMPILERS, version)
  if (!existsSync(join(folder, 'package.json'))) {
    console.log(`  fetching TypeScript ${version}`)
    mkdirSync(folder, { recursive: true })
    execFileSync('npm', ['pack', '--silent', '--pack-destination', folder, `typescript@${version}`], {
      stdio: 'ignore',
    })
    const tarball = join(folder, `typescript-${version}.tgz`)
    execFileSync('tar', ['xzf', tarball, '-C', folder, '--strip-components=1'])
    rmSync(tarball)
  }
  return folder
}
