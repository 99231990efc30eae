// Workers of locals-harmless.spec.ts. By `workerData`: 'session' has a session to the main thread, without a debugger, until it gets a message;
// 'reads' reads variables of its own greenlet, and never ends.

import { Session } from 'node:inspector'
import { parentPort, workerData } from 'node:worker_threads'

if (workerData === 'session') {
  const session = new Session()
  session.connectToMainThread()
  session.post('Runtime.enable', () => parentPort.postMessage('connected'))
  parentPort.once('message', () => {
    session.disconnect()
    process.exit()
  })
} else {
  const { Greenlet } = await import('../../js/index.ts')
  const { locals } = await import('../../js/inspect/index.ts')
  const g = new Greenlet(function job() {
    const x = 1
    Greenlet.main.switch()
    return x
  })
  g.switch()
  parentPort.postMessage(locals(g.gr_frame).scopes[0].variables.x.text)
  for (;;) locals(g.gr_frame)
}
