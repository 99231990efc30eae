// Runs each program in `programs/` and compares what it prints.

import { readdirSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import test from 'ava'
import { printed, runFile } from '../__test__/helpers/program.ts'

const OUTPUT: Readonly<Record<string, string>> = {
  'backdoor.ts': 'true true true\n',
  'better-sqlite3.mjs':
    'pen: 20, book: 60\ntimers ran meanwhile: true\n20; This database connection is busy executing a query\n' +
    '1000 are too many; 4\n10,2,4\n',
  'lazy-property.ts': 'order 1: Ada\norder 2: Ada\n4 queries\n',
  'patched-fs.ts': 'one two three four\nthe event loop turned meanwhile: true\n4 lines on main\n',
  'sort.ts': 'pen < ink < book\ntimers ran meanwhile: true\n',
  'sql-function.mjs': 'pen: 20\nink: 21\nbook: 60\n',
  'template.ts': "PEN: 2 €\nBOOK: 30 €, with INK: 7 €\nno price for 'moon' true\n",
  'typescript-host.ts': "/main.ts:3: Type 'number' is not assignable to type 'string'.\nread over the network: true\n",
}
/** Those that not every Node can run. The binary of better-sqlite3 13 crashes Node 20, which its package.json excludes. */
const LEFT_OUT: Readonly<Record<string, boolean>> = {
  'better-sqlite3.mjs': Number.parseInt(process.versions.node) < 22,
  'sql-function.mjs': !isBuiltin('node:sqlite'),
}

for (const [program, output] of Object.entries(OUTPUT)) {
  const run = LEFT_OUT[program] === true ? test.skip : test
  run(`the program ${program} prints what it should`, async (t) => {
    t.deepEqual(await runFile(`../examples/programs/${program}`), printed(output))
  })
}

test('each program is run', (t) => {
  const files = readdirSync(new URL('programs/', import.meta.url))
  t.deepEqual(files.filter((file) => file !== 'service.ts').toSorted(), Object.keys(OUTPUT))
})
