// Main switches to a greenlet that sleeps.

import { Greenlet, sleep } from '../../js/index.ts'

const sleeper = new Greenlet(() => sleep(10), { name: 'sleeper' })
sleeper.switch()
sleeper.switch('wake up')
