// A stack is read after its greenlet has ended.

import { Greenlet } from '../../js/index.ts'

const walker = new Greenlet(function walker() {
  Greenlet.main.switch()
})
walker.switch()
const { gr_stack: stack } = walker
walker.kill()
console.log(stack.length)
