/** Closes the inspector of this process, for a look from outside that has opened it; see cli/remote.ts. */

import * as timers from 'node:timers'

// The program may replace or remove them later.
const { getBuiltinModule } = process
const { setImmediate, setTimeout } = timers

/**
 * Node.js takes the signal at the first of several occasions, and opens the inspector again at the next one. A program that hangs has
 * that one when its event loop goes on, after it was closed. So it is closed once more, behind the next poll for events.
 * A signal of another `greenlets ps` that has left may come later still on a busy machine, so it is closed again after a moment. A
 * look that loses its inspector by that starts over.
 */
export function closeInspector(): void {
  const { close } = getBuiltinModule('node:inspector')
  close()
  const closeAgain = (): void => {
    try {
      close()
    } catch {
      // An error here would end the program. Where it has replaced close() meanwhile, the first call has closed the inspector.
    }
  }
  setImmediate(() => setImmediate(closeAgain))
  setTimeout(closeAgain, 100).unref()
}
