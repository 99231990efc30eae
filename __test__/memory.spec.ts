// V8 leaves some words of an isolate as malloc returned them. No such word may mislead greenlets. A Worker gets freed memory.

import test from 'ava'
import { runProgram } from './helpers/program.ts'
import { sharedObject } from './helpers/shared-object.ts'

const PROGRAM = `
const { Worker } = await import('node:worker_threads')
const g = new Greenlet((x) => main.switch(x) + 1)
console.log(g.switch(1) + g.switch(1), runtimeInfo().supported)
const url = new URL('./__test__/helpers/worker.mjs', 'file://' + process.cwd() + '/')
const execArgv = process.execArgv.filter((flag) => flag.startsWith('--import='))
const worker = new Worker(url, { execArgv, workerData: { parked: 3, rounds: 10 } })
worker.on('message', ({ sum, all }) => console.log(sum, all))`

for (const words of ['ones', 'limit', 'frame', 'block', 'previous', 'mixed']) {
  test(`loading works when uninitialized memory is full of these words: ${words}`, async (t) => {
    const env = { LD_PRELOAD: sharedObject('fixtures/malloc.c', 'malloc.so'), MALLOC_WORDS: words }
    const { code, stdout, stderr } = await runProgram(PROGRAM, { env })
    t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '3 true\n65 4\n', stderr: '' })
  })
}
