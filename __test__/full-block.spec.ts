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

/** Bytes of whole handles. The first greenlet makes 700 to 1,700 bytes of them while it formats an error, which depends on the Node. */
const DISTANCES = Array.from({ length: 5 }, (_, i) => 704 + i * 200)

test('the first greenlet writes to no wrong memory where the addresses of handles look like a mark of V8', async (t) => {
  const path = JSON.stringify(fixturePath())
  for (const distance of DISTANCES) {
    const ending = await runProgram(`
      const { createRequire } = await import('node:module')
      const { beforeBoundary } = createRequire(import.meta.url)(${path})
      console.log(beforeBoundary(${distance}, () => new Greenlet(() => 42).switch()), runtimeInfo().reason)`)
    t.deepEqual(ending, printed('42 undefined\n'), `${distance} bytes`)
  }
})
