/**
 * `make demo`: shows in three parts what greenlets can do. It checks everything that it prints, and ends with exit code 1 if a
 * check fails.
 */

import { frameworks } from './frameworks.ts'
import { parked } from './parked.ts'
import { seed } from './seed.ts'

// A demo that hangs has failed too.
const limit = setTimeout(() => {
  console.error('the demo is not done after 60 s')
  process.exit(1)
}, 60_000)

seed()
await parked()
await frameworks()
clearTimeout(limit)
