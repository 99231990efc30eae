// A greenlet waits for its own end.

import { spawn, wait } from '../../js/index.ts'

function ouroboros() {
  wait(greenlet)
}
const greenlet = spawn(ouroboros)
