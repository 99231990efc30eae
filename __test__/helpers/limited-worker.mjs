// endings.spec.ts runs this in a thread: it makes its first greenlet under a time limit of `workerData` milliseconds.

import vm from 'node:vm'
import { parentPort, workerData } from 'node:worker_threads'
import { Greenlet } from '../../js/index.ts'

globalThis.first = () => new Greenlet(() => 1).switch()
let reason = 'in time'
try {
  vm.runInThisContext('first(); for (;;);', { timeout: workerData })
} catch (error) {
  reason = error.code
}
// oxlint-disable-next-line require-post-message-target-origin -- the rule is for windows
parentPort.postMessage([reason, new Greenlet(() => [1].map(() => 2)).switch()])
