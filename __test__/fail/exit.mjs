// Main gets a GreenletExit, and there is nobody further out to take it as a value.

import { Greenlet } from '../../js/index.ts'

Greenlet.main.throw()
