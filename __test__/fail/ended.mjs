// A script with a time limit runs a spawned greenlet that does not end in time.

import { runInThisContext } from 'node:vm'
import { spawn } from '../../js/index.ts'

globalThis.endless = spawn(function endless() {
  for (;;);
})
try {
  runInThisContext('endless.switch()', { timeout: 300 })
} catch {}
await globalThis.endless
