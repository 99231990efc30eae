// `node --import greenlets/main`: the top level of a program in a greenlet. Each program runs in a process of its own.

import test, { type ExecutionContext } from 'ava'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Ending, runNode } from './helpers/program.ts'

const DIST = pathToFileURL(join(import.meta.dirname, '../dist/')).href
const MAIN = `--import=${DIST}main.js`
const ESM = `import { Greenlet, sleep, spawn, wait } from '${DIST}index.js'\n`
const CJS = `const { Greenlet, sleep, spawn, wait } = require(${JSON.stringify(join(import.meta.dirname, '../dist/cjs/index.js'))});\n`

/** Runs the first of some files in a folder of its own, with the arguments `a b`. */
async function run(
  t: ExecutionContext,
  files: Readonly<Record<string, string>>,
  flags: readonly string[] = [MAIN],
): Promise<Ending> {
  const folder = mkdtempSync(join(tmpdir(), 'greenlets-main-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return runNode(['--no-warnings', ...flags, join(folder, Object.keys(files)[0]!), 'a', 'b'])
}

const WORK = `
console.log(Greenlet.current !== Greenlet.main, process.argv.slice(2).join())
function deep(n) {
  return n === 0 ? wait(new Promise((done) => setTimeout(done, 5, 'waited'))) : deep(n - 1)
}
console.log(deep(10))
sleep(1)
process.exitCode = 4
`
const worked = 'true a,b\nwaited\n'

test('a CommonJS program waits at its top level, and has its require.main and exit code', async (t) => {
  const { code, stdout, stderr } = await run(t, { 'app.cjs': `${CJS}${WORK}console.log(require.main === module)` })
  t.is(stdout, `${worked}true\n`, stderr)
  t.is(code, 4)
})

test('an ES module waits at its top level, with modules that await at theirs', async (t) => {
  const { code, stdout, stderr } = await run(t, {
    'app.mjs': `import { value } from './async.mjs'\nimport './waits.mjs'\n${ESM}${WORK}
      console.log(value)
      export const mine = 1
      const { main } = import.meta
      console.log(main ?? true)
      console.log(wait(import('./cycle.mjs')).seen)`,
    'async.mjs': `await new Promise(setImmediate)\nexport const value = 'of async'\nconsole.log('first')`,
    'waits.mjs': `${ESM}\nsleep(1)\nconsole.log('second')`,
    'cycle.mjs': `export const seen = 'imported while the program waits'`,
  })
  t.is(
    stdout.replace('second\nfirst', 'first\nsecond'),
    `first\nsecond\n${worked}of async\ntrue\nimported while the program waits\n`,
    stderr,
  )
  t.is(code, 4)
})

test('modules in a cycle with the program are evaluated in the order of V8', async (t) => {
  const files = {
    'app.mjs': `import './other.mjs'\n${ESM}export const mine = 'mine'\nconsole.log('app')`,
    'other.mjs': `import * as app from './app.mjs'\ntry { app.mine } catch (error) { console.log(error.name) }`,
  }
  const [plain, inside] = [await run(t, files, []), await run(t, files)]
  t.is(inside.stdout, 'ReferenceError\napp\n')
  t.deepEqual(inside, plain)
})

for (const [what, file, text] of [
  ['a CommonJS program', 'app.cjs', CJS],
  ['an ES module', 'app.mjs', ESM],
] as const) {
  test(`an error that leaves the top level of ${what} after a wait ends it with the code 1 and its own line`, async (t) => {
    const { code, stderr } = await run(t, {
      [file]: `${text}sleep(1)\nfunction f() { throw new TypeError('of the program') }\nf()\n`,
    })
    t.is(code, 1)
    t.regex(
      stderr,
      /^\S*app\.[cm]js:3\nfunction f\(\) \{ throw new TypeError\('of the program'\) \}\n[^]*TypeError: of the program\n +at f /,
    )
  })

  test(`${what} that waits for ever ends with the code 13 and the place`, async (t) => {
    const { code, stderr } = await run(t, {
      [file]: `${text}function stuck() { wait(new Promise(() => {})) }\nstuck()\n`,
    })
    t.is(code, 13)
    t.regex(stderr, /^Warning: the top level of the program still waits[^\n]*\n +at stuck /)
  })
}

test('an error of a module that the program imports ends it as without greenlets', async (t) => {
  const files = {
    'app.mjs': "import './bad.mjs'\nimport './never.mjs'\n",
    'bad.mjs': "throw new Error('bad')\n",
    'never.mjs': 'console.log(1)\n',
  }
  const { code, stdout, stderr } = await run(t, files)
  t.deepEqual([code, stdout], [1, ''])
  t.regex(stderr, /bad\.mjs:1\nthrow new Error\('bad'\)\n/)
})

test('the top level of a Worker waits too, and the program can wait for the Worker', async (t) => {
  const { code, stdout, stderr } = await run(t, {
    'app.mjs': `${ESM}import { Worker } from 'node:worker_threads'\nimport { once } from 'node:events'
      const worker = new Worker(new URL('worker.mjs', import.meta.url), { argv: ['a', 'b'] })
      console.log(wait(once(worker, 'exit'))[0])`,
    'worker.mjs': ESM + WORK,
  })
  t.is(stdout, `${worked}4\n`, stderr)
  t.is(code, 0)
})

for (const [type, head] of [
  ['commonjs', CJS],
  ['module', ESM],
] as const) {
  test(`--eval and stdin: the top level of the type ${type} waits`, async (t) => {
    const flags = [MAIN, `--input-type=${type}`]
    const evaluated = await runNode([...flags, '--eval', head + WORK, 'x', 'a', 'b'])
    const piped = await runNode([...flags, '-', 'a', 'b'], {}, head + WORK)
    const expected = { code: 4, signal: null, stdout: worked, stderr: '' }
    t.deepEqual([evaluated, piped], [expected, expected])
  })
}

test('--eval as CommonJS: globals, exit code and errors are as without greenlets', async (t) => {
  const text = `${CJS}function f(error) { throw error }
    console.log(typeof require, typeof module, __filename, this === globalThis, Greenlet.current.name)
    setImmediate(() => console.log(typeof require, Greenlet.current === Greenlet.main))
    process.on('exit', (code) => console.log(code))\n`
  const { stdout, stderr, code } = await runNode([
    MAIN,
    '--eval',
    `${text}wait(new Promise(setImmediate))\nf(new TypeError('late'))`,
  ])
  t.is(stdout, 'function object [eval] true [eval]\nfunction true\n1\n', stderr)
  t.is(code, 1)
  t.regex(stderr, /^\[eval\]:2\nfunction f[^]*TypeError: late\n +at \[eval\]:7:/)
  const [early, plain] = [[MAIN], ['--import=data:text/javascript,']].map((flags) =>
    runNode([...flags, '--eval', `"use strict"\nfunction f() { throw new TypeError('early') }\nf()`]),
  )
  const [first, second] = [await early!, await plain!]
  t.deepEqual([first.code, first.stdout], [1, ''])
  t.is(first.stderr.split('    at ')[0], second.stderr.split('    at ')[0])
})

test('--eval as CommonJS: a top level that waits for ever ends with the code 13, and one that is killed ends', async (t) => {
  const stuck = await runNode([MAIN, '--eval', `${CJS}function stuck() { wait(new Promise(() => {})) }\nstuck()`])
  t.is(stuck.code, 13)
  t.regex(stuck.stderr, /^Warning: the top level of the program still waits[^\n]*\n +at stuck /)
  const killed = await runNode([
    MAIN,
    '--eval',
    `${CJS}const me = Greenlet.current\nsetImmediate(() => me.kill())\nsleep(1e6)`,
  ])
  t.deepEqual(killed, { code: 0, signal: null, stdout: '', stderr: '' })
})

test('--print prints what the top level gives after its waits', async (t) => {
  const print = (text: string): Promise<Ending> => runNode([MAIN, '--print', CJS + text])
  t.is((await print('1 + 1')).stdout, '2\n')
  const [text, object, stuck] = [
    await print("sleep(1), 'text'"),
    await print('({ a: wait(Promise.resolve([1])) })'),
    await print('wait(new Promise(() => {}))'),
  ]
  if (Number.parseInt(process.versions.node) >= 22) {
    t.deepEqual([text.stdout, object.stdout, stuck.stdout], ['text\n', '{ a: [ 1 ] }\n', '<pending>\n'], text.stderr)
    t.deepEqual([text.code, stuck.code], [0, 13])
  } else {
    // It prints before the wait is over.
    t.deepEqual([text.code, text.stdout], [1, ''])
    t.regex(text.stderr, /ERR_GREENLET_FORBIDDEN/)
    t.regex(text.stderr, /--print .* use --eval and console\.log\(\)/)
  }
})

test('a CommonJS program with --require is refused with a hint, and an ES module works', async (t) => {
  const flags = ['--require', join(import.meta.dirname, '../dist/cjs/main.js')]
  const refused = await run(t, { 'app.cjs': 'console.log(1)' }, flags)
  t.is(refused.code, 1)
  t.regex(
    refused.stderr,
    /cannot run in a greenlet if greenlets\/main was loaded by --require; use --import greenlets\/main/,
  )
  t.is((await run(t, { 'app.mjs': ESM + WORK }, flags)).stdout, worked)
})

if ('typescript' in process.features && process.features.typescript !== false) {
  test('a TypeScript program waits at its top level', async (t) => {
    const { stdout, stderr } = await run(t, {
      'app.mts': `${ESM}const x: number = wait(Promise.resolve(5))\nconsole.log(x)`,
    })
    t.is(stdout, '5\n', stderr)
  })
}
