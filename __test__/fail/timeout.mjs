// A wait takes longer than its timeout.

import { Greenlet, wait } from '../../js/index.ts'

function reader() {
  wait(new Promise(() => {}), { timeout: 5 })
}
new Greenlet(reader).switch()
