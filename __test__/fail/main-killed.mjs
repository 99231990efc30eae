// Main is killed, from a greenlet.

import { Greenlet } from '../../js/index.ts'

new Greenlet(() => Greenlet.main.kill()).switch()
