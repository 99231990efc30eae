// More greenlets are suspended than the program allows itself.

import { configure, Greenlet } from '../../js/index.ts'

configure({ maxGreenlets: 100 })
function leak() {
  return Greenlet.main.switch()
}
const all = []
for (;;) {
  all.push(new Greenlet(leak))
  all.at(-1).switch()
}
