// Main gets a parent.

import { Greenlet } from '../../js/index.ts'

Greenlet.main.parent = new Greenlet(() => {})
