// What Node prints for an uncaught error that came out of a greenlet: the line of the program first, as without greenlets.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { runNode } from './helpers/program.ts'

const HEAD = `
const { Greenlet, spawn, wait } = require(${JSON.stringify(join(import.meta.dirname, '../dist/cjs/index.js'))})
const { Fiber } = require(${JSON.stringify(join(import.meta.dirname, '../dist/cjs/fibers/index.js'))})
function f() {
  throw new Error('boom') // the line
}
`

const PROGRAMS: Readonly<Record<string, string>> = {
  'of a greenlet': 'new Greenlet(f).switch()',
  'of a greenlet in a timer': 'setTimeout(() => new Greenlet(f).switch(), 1)',
  'of a greenlet in a greenlet': 'new Greenlet(() => new Greenlet(f).switch()).switch()',
  'that throw() sends': 'let e; try { f() } catch (error) { e = error }\nnew Greenlet(() => {}).throw(e)',
  'of a fiber': 'Fiber(f).run()',
  'of a fiber that was suspended': 'const a = Fiber(() => { Fiber.yield(); f() })\na.run()\na.run()',
  'of a fiber in a fiber': 'Fiber(() => Fiber(f).run()).run()',
  'of a spawned greenlet': 'spawn(f)',
}

test('an uncaught error shows the line of the program that threw it, and the exit code is 1', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'greenlets-'))
  try {
    await Promise.all(
      Object.entries(PROGRAMS).map(async ([what, source], i) => {
        const file = join(folder, `${i}.cjs`)
        writeFileSync(file, HEAD + source)
        const { code, stderr } = await runNode([file])
        t.is(code, 1, what)
        const [place, line] = stderr.split('\n')
        t.deepEqual([place, line?.trim()], [`${file}:5`, "throw new Error('boom') // the line"], `${what}: ${stderr}`)
      }),
    )
    // There is no place to show. At least it is not one of the package.
    const file = join(folder, 'value.cjs')
    writeFileSync(file, `${HEAD}new Greenlet(() => { throw 'a string' }).switch()`)
    const { code, stderr } = await runNode([file])
    t.is(code, 1)
    t.regex(stderr, /^a string$/m)
    t.notRegex(stderr, /dist/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
