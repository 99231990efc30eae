// resting.spec.ts runs this in a Worker: many stacks rest in it and a few are suspended.

import { parentPort, workerData } from 'node:worker_threads'
import { Greenlet } from '../../js/index.ts'

const all = Array.from({ length: 100 }, (_, i) => new Greenlet(() => Greenlet.main.switch(i)))
for (const g of all) g.switch()
for (const g of all.slice(0, 90)) g.switch()
new Greenlet(() => {
  // oxlint-disable-next-line require-post-message-target-origin -- the rule is for windows
  parentPort.postMessage('ready')
  while (workerData.spin) new Greenlet(() => {}).switch()
}).switch()
