// A killed greenlet is awaited, and has no result.
import { sleep, spawn } from '../../js/index.ts'

const worker = spawn(function worker() {
  sleep(10_000)
})
setTimeout(() => worker.kill(), 5)
await worker
