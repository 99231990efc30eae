/**
 * `make demo`: what greenlets are for, in two parts. It checks what it prints, and ends with exit code 1 where that is not
 * as it should be.
 */

import { parked } from './parked.ts'
import { seed } from './seed.ts'

// What hangs is wrong too.
const limit = setTimeout(() => {
  console.error('the demo is not done after 60 s')
  process.exit(1)
}, 60_000)

seed()
await parked()
clearTimeout(limit)
