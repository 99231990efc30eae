// V8 keeps handles in blocks. The first greenlet may be made at the moment when the block in use is full.

import test from 'ava'
import { fixturePath } from './helpers/fixture.ts'
import { printed, runProgram } from './helpers/program.ts'

/** Handles of a block. Until it looks at the blocks, the first greenlet makes 10 to 20 handles, which depends on the Node. */
const BLOCK = 1022
const REMAINDERS = Array.from({ length: 16 }, (_, i) => BLOCK - 21 + i)

test('the first greenlet starts where the block of handles in use is full, or nearly', async (t) => {
  const path = JSON.stringify(fixturePath())
  for (const remainder of REMAINDERS) {
    const ending = await runProgram(`
      const { createRequire } = await import('node:module')
      const { withHandles } = createRequire(import.meta.url)(${path})
      console.log(withHandles(${remainder}, () => new Greenlet(() => 42).switch()), runtimeInfo().reason)`)
    t.deepEqual(ending, printed('42 undefined\n'), `${remainder} handles`)
  }
})
