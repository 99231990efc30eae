// A Worker that is terminated while it learns V8's layout ends, and nothing is printed. With `--expose-gc` V8 prints errors where a
// thread is terminated while it makes a context.

import test from 'ava'
import { printed, runProgram } from './helpers/program.ts'

/** `learnt`: another thread has learnt the layout before. Otherwise the Workers do, until one of them is not ended early. */
const program = (learnt: boolean) => `
const { Worker } = await import('node:worker_threads')
if (${learnt}) new Greenlet(() => {}).switch()
const state = new Int32Array(new SharedArrayBuffer(8))
const source = \`
  const { runtimeInfo } = require('./js/native/binding.cjs')
  const { workerData: state } = require('node:worker_threads')
  Atomics.store(state, 0, 1)
  const { reason } = runtimeInfo('')
  if (reason === undefined) Atomics.store(state, 1, 1)
  for (;;);\`
let early = 0
for (let micros = 0; micros < 30_000; micros += 1000) {
  state.fill(0)
  const worker = new Worker(source, { eval: true, execArgv: [], workerData: state })
  const errors = []
  worker.on('error', (error) => errors.push(error.message))
  while (Atomics.load(state, 0) === 0 && errors.length === 0) await new Promise((resolve) => setImmediate(resolve))
  for (const end = performance.now() + micros / 1000; performance.now() < end; );
  early += 1 - Atomics.load(state, 1)
  const code = await worker.terminate()
  if (code !== 1 || errors.length > 0) console.log(micros, code, errors)
}
console.log(early > 0, runtimeInfo().supported)
new Greenlet(() => console.log('it works')).switch()`

for (const learnt of [false, true]) {
  const when = learnt ? 'after another thread' : 'first'
  test(`a Worker that learns ${when} and is terminated at any moment of it prints nothing`, async (t) => {
    t.deepEqual(await runProgram(program(learnt), { flags: ['--expose-gc'] }), printed('true true\nit works\n'))
  })
}
