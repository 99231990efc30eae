// The watching thread of the watchdog, of which the program is in the bundle too, tells which greenlet blocks this thread.

import assert from 'node:assert/strict'
import { Greenlet, spawn } from 'greenlets'
import { watch } from 'greenlets/watchdog'

// The layout of V8 is learnt now. That takes long on a busy machine, and would be told too.
new Greenlet(() => {}).switch()
process.on('warning', ({ message }) => assert.fail(message))

const asked = new Int32Array(new SharedArrayBuffer(4))
const limit = setTimeout(() => assert.fail('the watchdog tells nothing'), 60_000)
const dog = watch({
  after: 100,
  print: false,
  report({ stacks }) {
    const found = stacks.find(({ greenlet, frames }) => greenlet?.name === 'hog' && frames !== null)
    if (found === undefined) return
    assert.equal(found.frames.length > 0, true)
    clearTimeout(limit)
    dog.close()
    console.log('ok')
  },
})

const hog = spawn(() => {
  const end = Date.now() + 30_000
  while (Atomics.load(asked, 0) === 0 && Date.now() < end) globalThis.kept = Math.sqrt(2)
})
// It is asked for while the thread is paused.
Object.defineProperty(hog, 'name', {
  get() {
    Atomics.add(asked, 0, 1)
    return 'hog'
  },
})
