// Main requires a module while a greenlet is suspended at the module's top level.

import { createRequire } from 'node:module'
import { Greenlet } from '../../js/index.ts'

const require = createRequire(import.meta.url)
globalThis.leave = () => Greenlet.main.switch()
new Greenlet(() => require('../helpers/leaves.cjs'), { name: 'loader' }).switch()
require('../helpers/leaves.cjs')
