// Main gets a GreenletExit, and main has no parent that could take it as a value.

import { Greenlet } from '../../js/index.ts'

Greenlet.main.throw()
