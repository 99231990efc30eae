// Greenlets switches two of V8's flags off. V8 rejects code caches from other flags, unless the flag hash stays the same.

import test from 'ava'
import { runProgram } from './helpers/program.ts'

const SCRIPT = 'const twice = (x) => x * 2; twice(21)'
const program = (withGreenlets: boolean, cache: string): string => `
  const { Script } = await import('node:vm')
  const { cachedDataVersionTag } = await import('node:v8')
  const tag = cachedDataVersionTag()
  if (${withGreenlets}) new Greenlet(() => main.switch()).switch()
  const script = new Script(${JSON.stringify(SCRIPT)}, { cachedData: Buffer.from('${cache}', 'base64') })
  console.log(JSON.stringify({
    taken: !script.cachedDataRejected,
    value: script.runInThisContext(),
    sameTag: cachedDataVersionTag() === tag,
    cache: script.createCachedData().toString('base64'),
  }))`

async function runs(withGreenlets: boolean, cache = ''): Promise<{ taken: boolean; cache: string }> {
  const { stdout, stderr } = await runProgram(program(withGreenlets, cache))
  if (stderr !== '') throw new Error(stderr)
  return JSON.parse(stdout) as { taken: boolean; cache: string }
}

test('V8 accepts a code cache that was made without greenlets in a program with them, and the reverse', async (t) => {
  const plain = await runs(false)
  t.false(plain.taken)
  const withGreenlets = await runs(true, plain.cache)
  t.like(withGreenlets, { taken: true, value: 42, sameTag: true })
  t.like(await runs(false, withGreenlets.cache), { taken: true, value: 42, sameTag: true })
})
