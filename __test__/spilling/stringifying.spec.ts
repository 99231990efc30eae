// JSON.stringify has an object on its stack that V8 calls at collections (crates/napi/src/v8/stack/epilogue_callbacks.rs). That must
// work when the stack is a copy, or never runs again. Here the memory that a stack has left faults when it is touched.

import test from 'ava'
import { fastOnly, NO_SPILLING } from '../helpers/lane.ts'
import { runProgram } from '../helpers/program.ts'

const BEFORE = `
process.env.GREENLETS_SLOTS = '1'
process.env.GREENLETS_POISON = 'protect'
;(await import('node:v8')).setFlagsFromString('--expose-gc')
const gc = (await import('node:vm')).runInNewContext('gc')`

const SUSPENDED = `
const names = (count) => Object.fromEntries(Array.from({ length: count }, (_, i) => ['name ' + i, i]))
const stringify = (i) => JSON.stringify({ ...names(i), inner: { toJSON: () => main.switch(i) ?? names(i) }, ...names(i + 5) })
const all = Array.from({ length: 20 }, (_, i) => new Greenlet(stringify))
all.forEach((greenlet, i) => greenlet.switch(i))
gc()
gc({ type: 'minor' })`

fastOnly(test, NO_SPILLING)('a spilled JSON.stringify continues after collections', async (t) => {
  const { stdout, stderr, code } = await runProgram(
    `${SUSPENDED}
    for (const [i, greenlet] of all.entries()) {
      const expected = JSON.stringify({ ...names(i), inner: names(i), ...names(i + 5) })
      if (greenlet.switch() !== expected) throw new Error('other text in ' + i)
      gc()
    }
    console.log(runtimeInfo().spilled)`,
    { before: BEFORE },
  )
  t.deepEqual({ stdout, stderr, code }, { stdout: '0\n', stderr: '', code: 0 })
})

fastOnly(test, NO_SPILLING)('V8 no longer calls the JSON.stringify of a greenlet that was ended', async (t) => {
  const { stdout, stderr, code } = await runProgram(
    `${SUSPENDED}
    for (const greenlet of all) greenlet.kill()
    gc()
    console.log(runtimeInfo().spilled)`,
    { before: BEFORE },
  )
  t.deepEqual({ stdout, stderr, code }, { stdout: '0\n', stderr: '', code: 0 })
})
