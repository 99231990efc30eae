// A test leaves a greenlet suspended.

import { Greenlet } from '../../js/index.ts'
import { noGreenletsLeft } from '../../js/testing/index.ts'

function worker() {
  Greenlet.main.switch()
}
new Greenlet(worker).switch()
await noGreenletsLeft()
