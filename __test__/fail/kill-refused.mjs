// A greenlet catches GreenletExit and switches away.

import { Greenlet } from '../../js/index.ts'

const stubborn = new Greenlet(function stubborn() {
  for (;;) {
    try {
      Greenlet.main.switch()
    } catch {}
  }
})
stubborn.switch()
stubborn.kill()
