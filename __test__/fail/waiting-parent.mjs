// A switch to a dead greenlet goes to its parent, which sleeps.

import { Greenlet, sleep } from '../../js/index.ts'

const sleeper = new Greenlet(() => sleep(10), { name: 'sleeper' })
const dead = new Greenlet(() => {}, { name: 'gone', parent: sleeper })
dead.kill()
sleeper.switch()
dead.switch('wake up')
