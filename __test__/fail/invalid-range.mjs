// A spawned greenlet sleeps for an infinite time, and no code awaits its result.

import { sleep, spawn } from '../../js/index.ts'

spawn(function sleeper() {
  sleep(Infinity)
})
