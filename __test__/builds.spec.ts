// dist/ has the package twice: as ES modules, of which most are put together into one file, and as CommonJS.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { printed, runProgram } from './helpers/program.ts'

const ROOT = join(import.meta.dirname, '..')
const { exports: doors } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  exports: Record<string, { import: { default: string }; require: { default: string } }>
}
/** They do something where they are imported. */
const ACTIVE = ['./main', './dump-on-signal']

test('each door gives the same names in both builds, and each function has its own', async (t) => {
  const files = Object.entries(doors)
    .filter(([door]) => door !== './package.json' && !ACTIVE.includes(door))
    .map(([door, builds]) => [door, builds.import.default, builds.require.default])
  const source = `
    const files = ${JSON.stringify(files)}
    const require = process.getBuiltinModule('node:module').createRequire(process.cwd() + '/package.json')
    for (const [door, file, commonJs] of files) {
      const [one, other] = [await import(file), require(commonJs)]
      // A CommonJS module that is a function, as fibers', has other properties too.
      for (const name of Object.keys(one)) {
        if (typeof one[name] !== typeof other[name]) console.log(door, name, typeof one[name], typeof other[name])
        if (one[name]?.name !== other[name]?.name) console.log(door, name, one[name].name, other[name].name)
      }
    }
    console.log(files.length > 10)`
  t.deepEqual(await runProgram(source), printed('true\n'))
})

test('what greenlets consists of is one file, so that it loads fast', (t) => {
  const index = readFileSync(join(ROOT, 'dist/index.js'), 'utf8')
  t.deepEqual(
    [...index.matchAll(/\bfrom '(.*)'/g)].map(([, file]) => file),
    ['./shared.js'],
  )
  const shared = readFileSync(join(ROOT, 'dist/shared.js'), 'utf8')
  const imports = [...shared.matchAll(/^import .* from '(.*)'/gm)].map(([, file]) => file!)
  t.deepEqual(
    imports.filter((file) => !file.startsWith('node:')),
    ['./native/load.cjs'],
  )
  t.false(readdirSync(join(ROOT, 'dist/hub')).includes('wait.js'))
})
