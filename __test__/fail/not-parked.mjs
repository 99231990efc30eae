// A greenlet ends before it is parked where a test waits for it.

import { Greenlet } from '../../js/index.ts'
import { untilParked } from '../../js/testing/index.ts'

function worker() {}
const greenlet = new Greenlet(worker)
greenlet.switch()
await untilParked(greenlet, { at: ['acquire'] })
