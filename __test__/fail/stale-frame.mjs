// A frame is read after its greenlet was resumed.

import { Greenlet } from '../../js/index.ts'

const walker = new Greenlet(function walker() {
  for (;;) Greenlet.main.switch()
})
walker.switch()
const { gr_frame: frame } = walker
walker.switch()
console.log(frame.lineNumber)
