/**
 * A comparator that asks a service: `Array.prototype.sort` needs a number at once, so the comparator cannot be async. In a greenlet it
 * may wait, although V8's own sort lies between it and the caller. The event loop goes on meanwhile.
 */

import { spawn } from '../../js/index.ts'
import { priceOf } from './service.ts'

let turns = 0
const timer = setInterval(() => turns++, 1)

const sorted = await spawn(() => ['book', 'pen', 'ink'].sort((a, b) => priceOf(a) - priceOf(b)))
clearInterval(timer)

console.log(sorted.join(' < '))
console.log('timers ran meanwhile:', turns > 0)
