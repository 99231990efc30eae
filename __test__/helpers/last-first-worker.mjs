// Runs in a Worker: greenlets are suspended inside of the add-on whose file is `workerData.file`, and the thread ends.

import { createRequire } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import { greenlets } from '../torture/lib/load.mjs'

const { Greenlet } = greenlets
const { lastFirst } = createRequire(import.meta.url)(workerData.file)
const { main } = Greenlet
const all = [3, 0, 2, 1].map(
  (turns) =>
    new Greenlet(() => {
      for (let i = 0; i < turns; i++) main.switch()
      lastFirst(() => main.switch())
    }),
)
for (let i = 0; i < 4; i++) for (const g of all) if (i <= [3, 0, 2, 1][all.indexOf(g)]) g.switch()
// Later, because Node ends the process where a Worker ends in a module that has waited for another one.
setImmediate(() => {
  if (workerData.end === 'exit') process.exit()
  if (workerData.end === 'error') throw new Error('the end')
  if (workerData.end === 'terminate') {
    parentPort.postMessage('suspended')
    setInterval(() => {}, 1000)
  }
})
