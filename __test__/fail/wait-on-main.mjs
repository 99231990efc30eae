// Main waits for a promise.

import { wait } from '../../js/index.ts'

wait(Promise.resolve(1))
