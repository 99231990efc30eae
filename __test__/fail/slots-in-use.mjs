// The stacks are laid out anew while one is in use.

import { configure, Greenlet } from '../../js/index.ts'

const parked = new Greenlet(() => Greenlet.main.switch())
parked.switch()
configure({ slots: 8 })
