// dist/ has the package twice: as ES modules, of which most are put together into one file, and as CommonJS.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { runNode } from './helpers/program.ts'

const ROOT = join(import.meta.dirname, '..')
const { exports: doors } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  exports: Record<string, { import: { default: string }; require: { default: string } }>
}
/** They do something where they are imported. */
const ACTIVE = ['./main', './dump-on-signal']

/** What a build exports at each door, and the name of each function. Only one build, because a second one exports what the first one has. */
async function exportsOf(t: ExecutionContext, build: 'import' | 'require'): Promise<unknown> {
  const files = Object.entries(doors)
    .filter(([door]) => door !== './package.json' && !ACTIVE.includes(door))
    .map(([door, builds]) => [door, builds[build].default])
  const source = `
    const require = process.getBuiltinModule('node:module').createRequire(process.cwd() + '/package.json')
    const found = {}
    for (const [door, file] of ${JSON.stringify(files)}) {
      const all = ${build === 'import' ? 'await import(file)' : 'require(file)'}
      // Those of a CommonJS module that is a function, as the door of fibers, are its properties.
      const names = Object.keys(all).filter((name) => name !== 'default' && name !== 'module.exports')
      found[door] = names.sort().map((name) => (typeof all[name] === 'function' ? name + ': ' + all[name].name : name))
    }
    console.log(JSON.stringify(found))`
  const { code, stdout, stderr } = await runNode(['--input-type=module', '--no-warnings', '--eval', source])
  t.deepEqual([code, stderr], [0, ''])
  return JSON.parse(stdout)
}

test('each door gives the same names in both builds, and each function has its own name', async (t) => {
  const found = await exportsOf(t, 'import')
  t.deepEqual(found, await exportsOf(t, 'require'))
  const { '.': index } = found as { '.': string[] }
  for (const name of ['wait', 'sleep', 'spawn', 'describe', 'Greenlet']) t.true(index.includes(`${name}: ${name}`))
})

test('greenlets is three files, so that it loads fast', (t) => {
  const importsOf = (file: string): string[] =>
    [...readFileSync(join(ROOT, 'dist', file), 'utf8').matchAll(/^(?:import|export) .*from '(.*)'/gm)]
      .map(([, from]) => from!)
      .filter((from) => !from.startsWith('node:'))
  t.deepEqual(new Set(importsOf('index.js')), new Set(['./engine.js', './shared.js']))
  t.deepEqual(importsOf('engine.js'), ['./shared.js'])
  t.deepEqual(importsOf('shared.js'), ['./native/load.cjs'])
  t.false(readdirSync(join(ROOT, 'dist/hub')).includes('wait.js'))
})
