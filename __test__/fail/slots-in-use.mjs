// configure() is called while a stack is in use.

import { configure, Greenlet } from '../../js/index.ts'

const parked = new Greenlet(() => Greenlet.main.switch())
parked.switch()
configure({ slots: 8 })
