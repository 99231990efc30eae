// Every A, M and J row has exactly one test with its number and name, and no N row has one.

import { readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import { ROWS } from './rows.ts'

const FOLDER = new URL('./', import.meta.url)
const RUST = new URL('../../crates/core/tests/conformance.rs', import.meta.url)

/** `40 simple` for each test that exists. */
function tests(): string[] {
  const specs = readdirSync(FOLDER).filter((file) => file.endsWith('.spec.ts'))
  const titles = specs.flatMap((file) => [
    ...readFileSync(new URL(file, FOLDER), 'utf8').matchAll(
      /\b(?:test|leakcheck)(?:\.serial)?\(\s*['"`](J?\d+) (\w+): /g,
    ),
  ])
  const names = readFileSync(RUST, 'utf8').matchAll(/#\[test\]\s*(?:#\[.*\]\s*)*fn row_(\d+)_(\w+)\(/g)
  return [...titles, ...names].map(([, row, name]) => `${row} ${name}`)
}

test('every row that applies has exactly one test', (t) => {
  const wanted = ROWS.filter(({ kind }) => kind !== 'N').map(({ row, name }) => `${row} ${name}`)
  const found = tests()
  t.deepEqual(
    found.filter((test, i) => !wanted.includes(test) || found.indexOf(test) !== i),
    [],
    'tests that no row has, or that there are twice',
  )
  t.deepEqual(
    wanted.filter((row) => !found.includes(row)),
    [],
    'rows without a test',
  )
})

test('the table has all of greenlet’s tests, and a reason for each that does not apply', (t) => {
  const numbers = ROWS.map(({ row }) => row).filter((row) => typeof row === 'number')
  t.deepEqual(
    numbers,
    Array.from({ length: 169 }, (_, i) => i + 1),
  )
  t.is(ROWS.filter(({ kind }) => kind === 'J').length, 13)
  for (const row of ROWS) if (row.kind === 'N') t.true(row.reason.length > 20)
})
