import { readFileSync } from 'node:fs'
import test from 'ava'
import { version } from '../../js/index.ts'

test('166 version: the package exports its version', (t) => {
  const { version: expected } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  t.is(version, expected)
})
