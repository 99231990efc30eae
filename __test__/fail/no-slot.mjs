// More greenlets are suspended than there are stacks.

import { Greenlet } from '../../js/index.ts'

function leak() {
  return Greenlet.main.switch()
}
const all = []
for (;;) {
  all.push(new Greenlet(leak))
  all.at(-1).switch()
}
