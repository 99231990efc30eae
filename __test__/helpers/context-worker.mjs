// context/endings.spec.ts runs this in each thread: greenlets with stores, in scopes. `workerData` can ask it to run until
// terminated.

import { AsyncLocalStorage, AsyncResource, createHook } from 'node:async_hooks'
import { parentPort, workerData } from 'node:worker_threads'
import { Greenlet } from '../../js/index.ts'

const { main } = Greenlet
const store = new AsyncLocalStorage()
const nested = (depth, fn) =>
  depth === 0 ? fn() : new AsyncResource('NESTED').runInAsyncScope(() => nested(depth - 1, fn))
if (workerData.hooks) createHook({ init() {}, before() {}, after() {} }).enable()

const make = (i) =>
  new Greenlet(() =>
    store.run(i, () =>
      nested(i % 4, () => {
        for (let round = 0; round < 5; round++) {
          main.switch()
          if (store.getStore() !== i) return 'wrong'
        }
        return 'right'
      }),
    ),
  )

const all = Array.from({ length: 20 }, (_, i) => make(i))
let results
for (let round = 0; round < 6; round++) results = all.map((g) => g.switch())
// oxlint-disable-next-line require-post-message-target-origin -- the rule is for windows
parentPort.postMessage(results.every((result) => result === 'right') && store.getStore() === undefined)

while (workerData.spin) {
  const g = make(3)
  g.switch()
  g.switch()
  g.kill()
}
