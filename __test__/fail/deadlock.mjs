// A greenlet takes a lock twice.

import { spawn } from '../../js/index.ts'
import { Lock } from '../../js/tools/index.ts'

const lock = new Lock()
function writer() {
  lock.run(() => lock.run(() => {}))
}
spawn(writer)
