// The variables of a greenlet are read while the program has V8's debugger enabled.

import { Session } from 'node:inspector'
import { Greenlet } from '../../js/index.ts'
import { locals } from '../../js/inspect/index.ts'

const worker = new Greenlet(() => Greenlet.main.switch(), { name: 'worker' })
worker.switch()
const session = new Session()
session.connect()
session.post('Debugger.enable')
locals(worker.gr_frame)
