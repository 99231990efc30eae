// A greenlet is made with a value that is not a function.

import { Greenlet } from '../../js/index.ts'

new Greenlet('main.js')
