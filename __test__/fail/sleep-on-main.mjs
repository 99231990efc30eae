// Main sleeps, in a callback.

import { sleep } from '../../js/index.ts'

setTimeout(() => sleep(1))
