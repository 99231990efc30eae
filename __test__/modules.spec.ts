// Modules of which the top level waits, and other stacks that load them meanwhile. Each program runs in its own process, because
// loaders load a module once.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { type Ending, printed, runProgram } from './helpers/program.ts'

type Files = Readonly<Record<string, string>>

/** Runs a program beside these files. */
async function run(t: ExecutionContext, files: Files, source: string): Promise<Ending> {
  const folder = mkdtempSync(join(tmpdir(), 'greenlets-modules-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  const here = JSON.stringify(pathToFileURL(`${folder}/`).href)
  return runProgram(`
    const require = (await import('node:module')).createRequire(${here} + 'main.cjs')
    const load = (name) => import(${here} + name)
    const pause = (ms) => new Promise((r) => setTimeout(r, ms))
    Object.assign(globalThis, { require, sleep, wait, load, main, Greenlet, spawn, runs: 0 })
    const error = (e) => [e.name, e.code, e.message.replaceAll(${here}, '').replaceAll(${JSON.stringify(folder)} + '/', '')].join(' ')
    const attempt = (call) => { try { return call() } catch (e) { return error(e) } }
    const named = (name, call) => { const g = spawn(() => attempt(call)); g.name = name; return g }
    ${source}`)
}

/** A macro: the program ends without an error and prints this. */
const prints = test.macro(async (t, files: Files, source: string, stdout: string) => {
  t.deepEqual(await run(t, files, source), printed(`${stdout}\n`))
})

const cjs = 'exports.early = 1; runs++; sleep(40); exports.late = 2'
const esm = 'runs++; sleep(40); export const value = 42'

test(
  'greenlets that require one CommonJS module get all of its exports',
  prints,
  { 'slow.cjs': cjs, 'user.cjs': 'exports.late = require("./slow.cjs").late' },
  `
  const all = [
    spawn(() => require('./slow.cjs').late),
    spawn(() => require('./slow.cjs').late),
    spawn(() => require('./user.cjs').late),
  ]
  console.log(await Promise.all(all), runs)`,
  '[ 2, 2, 2 ] 1',
)

test(
  'main cannot require what a greenlet loads, and can afterwards',
  prints,
  { 'slow.cjs': cjs, 'user.cjs': 'exports.late = require("./slow.cjs").late', 'slow.mjs': esm },
  `
  const g = named('loader', () => require('./slow.cjs').late)
  const h = named('other', () => require('./slow.mjs').value)
  await pause(15)
  console.log(attempt(() => require('./slow.cjs')))
  console.log(attempt(() => require('./user.cjs')))
  console.log(attempt(() => require('./slow.mjs')))
  console.log(await g, await h, require('./slow.cjs').late, require('./user.cjs').late, require('./slow.mjs').value, runs)`,
  [
    ...['slow.cjs', 'slow.cjs', 'slow.mjs'].map(
      (file) =>
        `GreenletError ERR_GREENLET_IN_USE main cannot load '${file}': greenlet '${file === 'slow.mjs' ? 'other' : 'loader'}' is loading it, ` +
        'and its top level has not returned; load it after that, with import(), or in a greenlet, which wait',
    ),
    '2 42 2 2 42 2',
  ].join('\n'),
)

test(
  'greenlets that require one ES module, what it imports, and what imports that, get all of it',
  prints,
  {
    'shared.mjs': esm,
    'a.mjs': 'import { value } from "./shared.mjs"; export const a = value + 1',
    'b.mjs': 'import { value } from "./shared.mjs"; export const b = value + 2',
    'c.cjs': 'exports.c = require("./b.mjs").b',
  },
  `
  const all = [
    named('1', () => require('./a.mjs').a),
    named('2', () => require('./a.mjs').a),
    named('3', () => require('./shared.mjs').value),
    named('4', () => require('./b.mjs').b),
    named('5', () => require('./c.cjs').c),
  ]
  console.log(await Promise.all(all), runs)`,
  '[ 43, 43, 42, 44, 44 ] 1',
)

test(
  'import() on main waits for the greenlet that evaluates the module, or one that it imports',
  prints,
  {
    'shared.mjs': 'runs++; wait(gate); export const value = 42',
    'a.mjs': 'import { value } from "./shared.mjs"; export const a = value + 1',
    'b.mjs': 'import { value } from "./shared.mjs"; export const b = value + 2',
    'c.mjs': 'export { b as c } from "./b.mjs"',
    'd.mjs': 'export const d = 4',
  },
  `
  let open
  globalThis.gate = new Promise((r) => (open = r))
  const g = spawn(() => require('./a.mjs').a)
  await pause(15)
  const d = (await load('d.mjs')).d
  console.log(d, g.dead)
  setTimeout(open, 30)
  const names = ['shared.mjs', 'a.mjs', 'b.mjs', 'c.mjs', 'shared.mjs', 'b.mjs']
  console.log((await Promise.all(names.map(load))).map((m) => Object.values(m).join()).join(), await g, runs)
  console.log((await load('b.mjs')).b)`,
  '4 false\n42,43,44,44,42,44 43 1\n44',
)

test(
  'import() on main waits for the greenlet that loads a CommonJS module',
  prints,
  {
    'slow.cjs': cjs,
    'user.mjs': 'import slow from "./slow.cjs"; export const late = slow.late',
  },
  `
  const g = spawn(() => require('./slow.cjs').late)
  await pause(15)
  const all = await Promise.all([load('slow.cjs'), load('user.mjs')])
  console.log(all[0].default.late, all[1].late, await g, runs)`,
  '2 2 2 1',
)

test(
  'a module may wait for the import() of another one',
  prints,
  {
    'top.mjs': 'const { d } = wait(load("d.mjs")); export const top = d + 1',
    'top.cjs': 'exports.top = wait(load("d.mjs")).d + 2',
    'd.mjs': 'export const d = 4',
  },
  `
  console.log(await Promise.all([spawn(() => require('./top.mjs').top), spawn(() => require('./top.cjs').top)]))`,
  '[ 5, 6 ]',
)

test(
  'two greenlets in a real cycle get what the cycle gives, and the whole modules in the end',
  prints,
  {
    'a.cjs': 'exports.early = "a"; sleep(20); exports.b = require("./b.cjs").late; exports.late = "A"',
    'b.cjs': 'exports.early = "b"; sleep(30); exports.a = require("./a.cjs").early; exports.late = "B"',
  },
  `
  const all = [spawn(() => require('./a.cjs')), spawn(() => require('./b.cjs'))]
  const [a, b] = await Promise.all(all)
  console.log(a.early, a.b, a.late, b.early, b.a, b.late)`,
  'a B A b a B',
)

test(
  'a CommonJS module that fails, or of which the load is killed, is loaded again by a greenlet that waits',
  prints,
  {
    'fails.cjs': 'const run = ++runs; sleep(20); if (run === 1) throw new Error("first"); exports.run = run',
    'killed.cjs': 'exports.early = 1; sleep(30); exports.late = 2',
  },
  `
  const all = [named('1', () => require('./fails.cjs').run), named('2', () => require('./fails.cjs').run)]
  console.log((await Promise.all(all)).join('; '))
  const killed = spawn(() => require('./killed.cjs'))
  await pause(5)
  const next = spawn(() => require('./killed.cjs').late)
  await pause(5)
  killed.kill()
  console.log(await next)
  delete require.cache[require.resolve('./killed.cjs')]
  const loader = spawn(() => require('./killed.cjs').late)
  const waiter = spawn(() => require('./killed.cjs').late)
  await pause(5)
  waiter.kill()
  console.log(await loader, waiter.dead)`,
  'Error  first; 2\n2\n2 true',
)

test(
  'an ES module that fails has one error for all',
  prints,
  {
    'fails.mjs': 'if (Greenlet.current !== main) sleep(30); throw new Error("own")',
    'user.mjs': 'import "./fails.mjs"',
  },
  `
  const all = [named('1', () => require('./fails.mjs')), named('2', () => require('./fails.mjs'))]
  await pause(10)
  const imports = [load('fails.mjs').catch(error), load('user.mjs').catch(error)]
  console.log((await Promise.all([...all, ...imports])).map(String).join('; '))`,
  Array.from({ length: 4 }, () => 'Error  own').join('; '),
)

test(
  'greenlets that run as a part of a load see a cycle, as functions do',
  prints,
  {
    'outer.cjs': `
      exports.early = 1
      const inner = new Greenlet(() => require('./outer.cjs').early)
      exports.inner = inner.switch()
      exports.late = 2`,
    'top.cjs': 'exports.early = 1; exports.seen = new Greenlet(() => require("./top.cjs").late === undefined).switch()',
  },
  `
  const g = new Greenlet(() => require('./outer.cjs'))
  console.log(JSON.stringify(g.switch()), JSON.stringify(require('./top.cjs')))`,
  '{"early":1,"inner":1,"late":2} {"early":1,"seen":true}',
)

test(
  'plain greenlets: one that waits for a load goes on in the event loop',
  prints,
  {
    'slow.cjs': 'exports.early = 1; main.switch(); exports.late = 2',
    'slow.mjs': 'main.switch(); export const value = 42',
  },
  `
  const seen = []
  const start = (call) => { const g = new Greenlet(() => seen.push(call())); g.switch(); return g }
  const [a, b] = [start(() => require('./slow.cjs').late), start(() => require('./slow.cjs').late)]
  const [c, d] = [start(() => require('./slow.mjs').value), start(() => require('./slow.mjs').value)]
  console.log(b.state, d.state)
  a.switch(); c.switch()
  await pause(10)
  console.log(seen.join(), [a, b, c, d].every((g) => g.dead))`,
  'suspended suspended\n2,42,2,42 true',
)

test(
  'the methods of the loader look as before',
  prints,
  {},
  `
  const { Module } = await import('node:module')
  const look = () => [Module._load, Module.prototype.load].map((f) => f.name + f.length).join() + Object.keys(Module.prototype)
  const before = look()
  const cached = Object.keys(require.cache).join()
  await spawn(() => attempt(() => require('./none.cjs')))
  console.log(look() === before, Object.keys(require.cache).join() === cached, attempt(() => require('./none.cjs')).includes('MODULE_NOT_FOUND'))`,
  'true true true',
)
