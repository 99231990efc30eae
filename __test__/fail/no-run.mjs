// A greenlet without a function is started.

import { Greenlet } from '../../js/index.ts'

new Greenlet(undefined, { name: 'worker' }).switch()
