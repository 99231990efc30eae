// A permit is released too often.

import { Semaphore } from '../../js/tools/index.ts'

new Semaphore(1, { max: 1 }).release()
