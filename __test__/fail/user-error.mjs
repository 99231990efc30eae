// An error leaves a greenlet, its dead parent and main.

import { Greenlet } from '../../js/index.ts'

function careless() {
  throw new RangeError('of the program')
}
const parent = new Greenlet(() => new Greenlet(() => {}).switch())
const child = new Greenlet(careless, { parent })
parent.switch()
child.switch()
