// The function of a greenlet is changed by itself.

import { Greenlet } from '../../js/index.ts'

function work() {
  worker.run = () => {}
}
const worker = new Greenlet(work, { name: 'worker' })
worker.switch()
