// Where the stacks of greenlets are read by tests: the example suites of examples/testing, in each test runner; and the positions in
// stacks, beside those in errors, with each tool that compiles sources while they are loaded.

import { cpSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Node } from '../nodes.ts'
import type { Case, Context, Step } from './consumer-cases.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const MODULES = join(ROOT, 'node_modules')
/** Node runs TypeScript from here on. */
const STRIPS_TYPES = 24

export function suites({ home, project, nodes, node, start }: Context): Case[] {
  const cwd = join(project, 'testing')
  rmSync(cwd, { recursive: true, force: true })
  cpSync(join(ROOT, 'examples/testing'), cwd, { recursive: true })
  writeFileSync(join(cwd, 'package.json'), '{ "name": "testing", "private": true, "type": "module" }')
  // Otherwise ava would use that of this repository.
  writeFileSync(join(cwd, 'ava.config.js'), 'export default {}')
  // The other runners are those of the tools' folder.
  link(join(MODULES, 'ava'), join(project, 'node_modules/ava'))

  const modules = join(home, 'node_modules')
  // In CI, no runner writes a snapshot that is missing: the test fails.
  const step = (each: Node, ...args: string[]) => {
    const made = start(cwd, each, ...args)
    return { ...made, env: { ...made.env, CI: '1' } }
  }
  const jest = ['--ci', `--rootDir=${join(cwd, 'jest')}`, '--testMatch', '**/store.test.cjs']
  return [
    ...nodes.map((each) => ({
      what: `example suites, node ${each.version}`,
      steps: [
        step(each, '--test', 'node-test/store.test.mjs'),
        step(each, join(modules, 'mocha/bin/mocha.js'), 'mocha/store.test.mjs'),
        step(each, join(MODULES, 'ava/entrypoints/cli.mjs'), 'ava/store.test.mjs'),
        step(each, join(modules, 'jest/bin/jest.js'), ...jest),
        step(each, join(modules, 'vitest/vitest.mjs'), 'run', '--root', cwd, 'vitest/store.test.ts'),
      ],
      good: ({ end }: { end: unknown }) => end === 0,
    })),
    {
      what: 'example suites, types of the matchers',
      steps: [step(node, join(modules, 'typescript/bin/tsc'), ...TYPES, 'vitest/store.test.ts')],
      good: ({ end }) => end === 0,
    },
  ]
}

const TYPES = ['--noEmit', '--strict', '--skipLibCheck', '--allowJs', '--target', 'es2022', '--module', 'nodenext']

export function maps({ home, project, nodes, node, start }: Context): Case[] {
  const esm = join(project, 'maps')
  const cjs = join(project, 'maps-cjs')
  const main = readFileSync(join(esm, 'main.ts'), 'utf8')
  rmSync(cjs, { recursive: true, force: true })
  cpSync(esm, cjs, { recursive: true })
  writeFileSync(join(cjs, 'package.json'), '{ "name": "maps-cjs", "private": true }')
  writeFileSync(join(cjs, 'main.ts'), main.replace('./where.js', './where'))

  const modules = join(home, 'node_modules')
  const inTool = (what: string, ...steps: Step[]): Case => ({
    what: `positions in stacks, ${what}`,
    steps,
  })
  const runner = (what: string, step: Step): Case => ({
    ...inTool(what, step),
    good: ({ end }) => end === 0,
  })
  const jest = (transform: string): Case => {
    const step = start(cjs, node, join(modules, 'jest/bin/jest.js'), '--config=jest.config.cjs', '-i')
    return runner(`jest, ${transform}`, { ...step, env: { ...step.env, TRANSFORM: transform } })
  }
  writeFileSync(join(esm, 'strip.ts'), main.replace('./where.js', './where.ts'))
  const stripping = nodes.filter(({ major }) => major >= STRIPS_TYPES)
  const enabled = nodes.map((each) => start(esm, each, '--enable-source-maps', 'out/main.js'))
  return [
    inTool('tsc', start(esm, node, join(modules, 'typescript/bin/tsc'), '--outDir', 'out'), ...enabled),
    ...(stripping.length === 0
      ? []
      : [inTool('types removed by Node.js', ...stripping.map((each) => start(esm, each, 'strip.ts')))]),
    inTool(
      'tsx',
      ...nodes.map((each) => start(esm, each, '--import', join(modules, 'tsx/dist/esm/index.mjs'), 'main.ts')),
    ),
    inTool('tsx, CommonJS', start(cjs, node, '--require', join(modules, 'tsx/dist/cjs/index.cjs'), 'main.ts')),
    inTool('oxc-node', start(esm, node, '--import', join(MODULES, '@oxc-node/core/register.mjs'), 'main.ts')),
    inTool('swc-node', start(cjs, node, '--require', join(modules, '@swc-node/register'), 'main.ts')),
    inTool('ts-node', start(cjs, node, join(modules, 'ts-node/dist/bin.js'), 'main.ts')),
    runner('vitest', start(esm, node, join(modules, 'vitest/vitest.mjs'), 'run', '--root', esm)),
    jest('ts-jest'),
    jest('@swc/jest'),
  ]
}

function link(target: string, path: string): void {
  rmSync(path, { force: true })
  symlinkSync(target, path)
}
