// Programs that the conformance tests run in Workers; `workerData` has the name.

import { parentPort, workerData } from 'node:worker_threads'
import { Greenlet } from '../../js/index.ts'

// oxlint-disable-next-line require-post-message-target-origin -- the rule is for windows
const say = (message) => parentPort.postMessage(message)

/** A greenlet that waits in main and reports how it ends. */
function waiting() {
  const g = new Greenlet(() => {
    try {
      Greenlet.main.switch()
    } catch (error) {
      say(error.name)
      throw error
    } finally {
      say('finally')
    }
  })
  g.switch()
  return g
}

const SCENES = {
  simple() {
    const list = []
    const g = new Greenlet(() => {
      list.push(1)
      Greenlet.current.parent.switch()
      list.push(3)
    })
    list.push(0)
    g.switch()
    list.push(2)
    g.switch()
    list.push(4)
    say(list)
  },

  block() {
    const ms = Number(process.env.BLOCK)
    const word = new Int32Array(new SharedArrayBuffer(4))
    say(new Greenlet(() => Atomics.wait(word, 0, 0, ms)).switch())
  },

  /** Runs main and greenlets that end. */
  finished() {
    for (let i = 0; i < 100; i++) new Greenlet(() => Greenlet.current).switch()
    say(Greenlet.all().length)
  },

  /** Runs main alone. */
  main() {
    say(String(Greenlet.current))
  },

  /** Ends while one greenlet waits. */
  leave() {
    globalThis.kept = waiting()
    say(Greenlet.all().length)
  },

  /** The same as `leave`, but ends the greenlet at the event 'exit'. */
  tidy() {
    globalThis.kept = waiting()
    process.on('exit', () => {
      for (const g of Greenlet.all()) if (g !== Greenlet.main) g.kill()
    })
  },

  /** Waits while many greenlets are suspended. */
  unfinished() {
    globalThis.kept = Array.from({ length: 1000 }, () => new Greenlet(() => [1].map(() => Greenlet.main.switch())))
    for (const g of globalThis.kept) g.switch()
    parentPort.on('message', () => {})
    say(globalThis.kept.every((g) => g.state === 'suspended'))
  },
}

SCENES[workerData]()
