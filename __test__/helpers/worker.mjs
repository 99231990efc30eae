// workers.spec.ts runs this in each thread: it makes its own greenlets and leaves some suspended.

import { parentPort, workerData } from 'node:worker_threads'
import { Greenlet, sleep, spawn } from '../../js/index.ts'

const { parked, rounds } = workerData
let sum = 0
for (let i = 0; i < rounds; i++) {
  const g = new Greenlet((x) => Greenlet.main.switch(x) + 1)
  sum += g.switch(i) + g.switch(1)
}
const left = Array.from({ length: parked }, () => new Greenlet(() => [1].map(() => Greenlet.main.switch())))
for (const g of left) g.switch()
const slept = await spawn(() => {
  sleep(5)
  return Greenlet.current.gr_stack.length
})
// oxlint-disable-next-line require-post-message-target-origin -- the rule is for windows
parentPort.postMessage({ sum, frames: left[0].gr_stack.length, all: Greenlet.all().length, slept })

while (workerData.spin) {
  left.shift().kill()
  const g = new Greenlet(() => Greenlet.main.switch())
  g.switch()
  left.push(g)
}
