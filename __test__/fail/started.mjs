// A greenlet changes its own function while it runs.

import { Greenlet } from '../../js/index.ts'

function work() {
  worker.run = () => {}
}
const worker = new Greenlet(work, { name: 'worker' })
worker.switch()
