// Something else than a function is to be run.

import { Greenlet } from '../../js/index.ts'

new Greenlet('main.js')
