// A spawned greenlet sleeps for ever, and nobody asks for its result.

import { sleep, spawn } from '../../js/index.ts'

spawn(function sleeper() {
  sleep(Infinity)
})
