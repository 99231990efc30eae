// The result of a greenlet goes to a parent that cannot start. The error goes on to main.

import { Greenlet } from '../../js/index.ts'

const parent = new Greenlet(null, { name: 'parent' })
new Greenlet(() => 'result', { parent }).switch()
