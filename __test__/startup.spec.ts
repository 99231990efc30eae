// What goes wrong before the first greenlet: a broken addon, a runtime that is not Node.js, a program without permissions.

import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { runProgram } from './helpers/program.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const ADDON = process.env['NAPI_RS_NATIVE_LIBRARY_PATH'] ?? join(ROOT, 'js/native/greenlets.linux-x64-gnu.node')
/** After the TypeScript loader was loaded, because it uses the same variable. */
const withAddon = (file: string): string => `process.env.NAPI_RS_NATIVE_LIBRARY_PATH = ${JSON.stringify(file)}`
const REASON = 'console.log(runtimeInfo().supported, runtimeInfo().reason)'

const folder = mkdtempSync(join(ROOT, 'target/startup-'))
test.after.always(() => rmSync(folder, { recursive: true }))

test('a file of the addon that is cut off is refused before it is loaded', async (t) => {
  const { size } = statSync(ADDON)
  const file = join(folder, 'short.node')
  copyFileSync(ADDON, file)
  const before = withAddon(file)
  t.is((await runProgram(REASON, { before })).stdout, 'true undefined\n')
  // The last byte, the table of sections, and in the segments.
  for (const length of [size - 1, size - 1000, size - 20_000, Math.floor(size / 2), 100_000, 4096, 64]) {
    truncateSync(file, 0)
    copyFileSync(ADDON, file)
    truncateSync(file, length)
    const { code, stdout, stderr } = await runProgram(REASON, { before })
    t.deepEqual({ code, stderr }, { code: 0, stderr: '' }, `${length}`)
    t.regex(
      stdout,
      /^false greenlets could not load .*short\.node was found, but it is cut off: \d+ bytes are missing; correct or delete the variable/,
    )
  }
})

for (const [name, bytes] of [
  ['an empty file', ''],
  ['a text', 'not an addon at all, but a text that is longer than the header of an ELF file'],
  ['half a header', '\x7fELF\x02\x01\x01'],
  ['a header with absurd numbers', `\x7fELF\x02\x01${'\xff'.repeat(58)}`],
] as const) {
  test(`${name} in place of the addon is refused`, async (t) => {
    const file = join(folder, `${name.replaceAll(' ', '-')}.node`)
    writeFileSync(file, bytes, 'latin1')
    const { code, stdout, stderr } = await runProgram(REASON, { before: withAddon(file) })
    t.deepEqual({ code, stderr }, { code: 0, stderr: '' })
    t.regex(
      stdout,
      /^false greenlets could not load its native addon on linux-x64 \(glibc [\d.]+\), Node\.js [\d.]+: .*\.node was found, but .*[\w)]; correct or delete the variable NAPI_RS_NATIVE_LIBRARY_PATH\. greenlets run on Linux, on x64/,
    )
  })
}

test('a binary for another processor is refused before it is loaded', async (t) => {
  const file = join(folder, 'arm64.node')
  const bytes = readFileSync(ADDON)
  // The field e_machine.
  bytes.writeUInt16LE(183, 18)
  writeFileSync(file, bytes)
  const { code, stdout, stderr } = await runProgram(REASON, { before: withAddon(file) })
  t.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  t.regex(
    stdout,
    /^false .*arm64\.node was found, but it is for another processor \(arm64\); correct or delete the variable/,
  )
})

test('the binary of another version is refused before it is loaded', async (t) => {
  const home = join(folder, 'other-version')
  mkdirSync(home)
  const name = '@greenlets/binding-linux-x64-gnu'
  writeFileSync(join(home, 'package.json'), JSON.stringify({ name, version: '99.0.0' }))
  copyFileSync(ADDON, join(home, 'other.node'))
  const { code, stdout, stderr } = await runProgram(REASON, { before: withAddon(join(home, 'other.node')) })
  t.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  t.regex(
    stdout,
    /^false .*other\.node was found, but it is version 99\.0\.0 of @greenlets\/binding-linux-x64-gnu, and greenlets has version \d.*; correct or delete the variable/,
  )
})

test('--no-addons: the reason says what to do, and nothing about other causes', async (t) => {
  const { code, stdout } = await runProgram(
    `const { runtimeInfo: built } = await import('./dist/index.js')
    console.log(built().reason)`,
    { flags: ['--no-addons'] },
  )
  // The TypeScript loader of Node 20 is an add-on too.
  if (process.versions.node.startsWith('20.')) return t.not(code, null)
  t.regex(stdout, /addons is disabled; start Node\.js without --no-addons, and with --allow-addons where it has/)
  t.false(/\.\.|optional dependencies/.test(stdout))
  return t.is(code, 0)
})

for (const [key, name] of [
  ['bun', 'Bun 1\\.2\\.3'],
  ['deno', 'Deno 1\\.2\\.3'],
]) {
  test(`${key} is named`, async (t) => {
    const { code, stdout } = await runProgram(REASON, {
      before: `Object.defineProperty(process, 'versions', { value: { ...process.versions, ${key}: '1.2.3' } })`,
    })
    t.is(code, 0)
    t.regex(stdout, new RegExp(`^false greenlets could not load .*: this is ${name}, and greenlets need Node\\.js`))
  })
}

test('a runtime that does not let a program read the environment can import', async (t) => {
  const { code, stdout, stderr } = await runProgram(REASON, {
    before: `process.env = new Proxy(process.env, {
      get(target, key) {
        if (/^(?:NAPI_RS|GREENLETS)_/.test(String(key))) throw new Error('Requires env access')
        return target[key]
      },
    })`,
  })
  t.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  t.regex(stdout, /^false greenlets could not load .*: Requires env access/)
})

for (const [name, before] of [
  ['', ''],
  [' by a program that has set its title', "process.title = 'x'.repeat(2000)"],
]) {
  test(`frozen flags of V8 are seen${name}`, async (t) => {
    const { code, stdout } = await runProgram(REASON, { flags: ['--freeze-flags-after-init'], before: before! })
    t.is(code, 0)
    t.regex(stdout, /^false V8's flags are frozen/)
  })
}

test('configure() names the environment variable that is wrong', async (t) => {
  const { code, stdout, stderr } = await runProgram(`
    console.log(runtimeInfo().supported)
    for (const [name, value] of [['SLOTS', 'x'], ['SPILL', 'maybe'], ['LANE', 'slow'], ['POISON', '7'], ['SCAN', '']]) {
      const key = 'GREENLETS_' + name
      process.env[key] = value
      try { configure({}) } catch (error) { console.log(error.name, error.code, error.message) }
      delete process.env[key]
    }
    configure({})
  `)
  t.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  const says = 'RangeError ERR_GREENLET_INVALID_ARG configure() also reads the environment variables: GREENLETS_'
  t.is(
    stdout,
    `true
${says}SLOTS must be 1 to 65536, not 'x'
${says}SPILL must be 'auto', 'always' or 'never', not 'maybe'
${says}LANE must be 'fast' or 'locker', not 'slow'
${says}POISON must be '1' or 'protect', not '7'
${says}SCAN must be 'young', 'classes' or 'all', not ''
`,
  )
})

for (const [what, before] of [
  ['replaced join()', "Array.prototype.join = () => 'joined'"],
  ['replaced join() by one that throws', 'Array.prototype.join = () => { throw 1 }'],
  [
    'made prepareStackTrace an accessor',
    "Object.defineProperty(Error, 'prepareStackTrace', { get: () => (_, sites) => sites, set() { throw 1 } })",
  ],
  [
    'wrapped join()',
    'const { join } = Array.prototype; Array.prototype.join = function (...a) { return join.apply(this, a) }',
  ],
  ['deleted Error.stackTraceLimit', 'delete Error.stackTraceLimit'],
  ['set Error.stackTraceLimit to 0', 'Error.stackTraceLimit = 0'],
  ['set a prepareStackTrace that reads no name', 'Error.prepareStackTrace = (_, sites) => sites'],
  ['set a prepareStackTrace that throws', 'Error.prepareStackTrace = () => { throw 1 }'],
  [
    'set a prepareStackTrace that keeps errors',
    'Error.prepareStackTrace = (e) => { (globalThis.kept ??= []).push(e) }',
  ],
  ['frozen what it can', 'Object.freeze(Error); Object.freeze(Array.prototype); Object.freeze(Object.prototype)'],
  ['made contexts', 'globalThis.kept = [1, 2, 3].map(() => vm.createContext({}))'],
] as const) {
  test(`the first greenlet starts in a program that has ${what}`, async (t) => {
    const { code, stdout, stderr } = await runProgram(`
      const vm = await import('node:vm')
      ${before}
      const { reason } = runtimeInfo()
      const g = new Greenlet((x) => process.stdout.write('it works ' + main.switch(x)))
      g.switch(1)
      g.switch(reason)
      for (const error of globalThis.kept ?? []) void error.name`)
    t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'it works undefined', stderr: '' })
  })
}

test('the first greenlet does not format errors with a function of the program', async (t) => {
  const { code, stdout, stderr } = await runProgram(`
    const calls = []
    const prepare = (error) => { calls.push(error); return 'formatted' }
    Error.prepareStackTrace = prepare
    new Greenlet(() => {}).switch()
    console.log(calls.length, Error.prepareStackTrace === prepare)`)
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '0 true\n', stderr: '' })
})

for (const flag of ['--no-deprecation', '--pending-deprecation', '--throw-deprecation']) {
  test(`the first greenlet starts with ${flag}, and prints nothing`, async (t) => {
    const { code, stdout, stderr } = await runProgram(
      `
      const before = Object.getOwnPropertyDescriptor(process, 'noDeprecation')
      new Greenlet(() => process.stdout.write('it works')).switch()
      const after = Object.getOwnPropertyDescriptor(process, 'noDeprecation')
      if (before?.value !== after?.value) throw new Error('noDeprecation has changed')`,
      { flags: [flag] },
    )
    t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'it works', stderr: '' })
  })
}

test('the first greenlet starts in the middle of nested joins', async (t) => {
  const { code, stdout, stderr } = await runProgram(`
    const start = () => { new Greenlet(() => main.switch()).switch(); return [1, 2].join('') }
    let list = [{ toString: start }]
    for (let i = 0; i < 50; i++) list = [list]
    console.log(list.join(), runtimeInfo().reason)`)
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '12 undefined\n', stderr: '' })
})

test('another add-on in place of the addon is refused', async (t) => {
  const other = createRequire(import.meta.url).resolve('@oxc-node/core-linux-x64-gnu')
  const { code, stdout, stderr } = await runProgram(REASON, { before: withAddon(other) })
  t.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  t.regex(stdout, /^false .*\.node.*it is another add-on\)?; correct or delete the variable/)
})

test('a program may put another Promise into the place of V8 own one', async (t) => {
  const { stdout, stderr } = await runProgram(
    `console.log(await spawn(() => wait(Promise.resolve(7))), spawn(() => 1).promise instanceof Real)`,
    {
      before: `globalThis.Real = Promise; globalThis.Promise = class { constructor() { throw new Error('not V8s') } static resolve = (x) => Real.resolve(x) }`,
    },
  )
  t.is(stdout, '7 true\n', stderr)
})
