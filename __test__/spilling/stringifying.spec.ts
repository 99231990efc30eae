// JSON.stringify lies on the stack and has V8 tell it of collections there (crates/napi/src/v8/callbacks.rs): also where that
// stack is a copy, or will never run again. Memory that a stack has left faults when it is touched.

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

fastOnly(test, NO_SPILLING)('a spilled JSON.stringify goes on after collections', async (t) => {
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

fastOnly(test, NO_SPILLING)('nobody is told for one that was ended', async (t) => {
  const { stdout, stderr, code } = await runProgram(
    `${SUSPENDED}
    for (const greenlet of all) greenlet.kill()
    gc()
    console.log(runtimeInfo().spilled)`,
    { before: BEFORE },
  )
  t.deepEqual({ stdout, stderr, code }, { stdout: '0\n', stderr: '', code: 0 })
})
