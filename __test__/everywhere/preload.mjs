// `node --import=.../preload.mjs program` runs every callback of the program inside a greenlet of its own, that is suspended before
// and after it, and whenever another callback begins or ends within it: event listeners, timers, immediates, ticks,
// microtasks, and what promises call. The program must not notice.
//
//   main          run ─────► (resumes whoever asked) ─────► ... until the callback has ended
//                    ╲            ▲      ╲
//   greenlet A        pause ──────┘       callback ... emit ─► greenlet B: pause, listener, pause ... pause

import { EventEmitter } from 'node:events'
import { greenlets } from '../torture/lib/load.mjs'

const { Greenlet } = greenlets
const { main } = Greenlet
let asked
let suspensions = 0

/** Suspends the running greenlet and all below it; main resumes it at once. */
function pause() {
  const current = Greenlet.current
  if (current === main) return
  asked = current
  suspensions++
  try {
    main.switch()
  } catch (error) {
    // Where no stack may be left, the callback runs as it would have.
    if (error?.code !== 'ERR_GREENLET_FORBIDDEN') throw error
    suspensions--
  }
}

function run(body) {
  const greenlet = new Greenlet(() => {
    pause()
    try {
      return body()
    } finally {
      pause()
    }
  })
  // Whoever is no main has main below it, in the loop.
  if (Greenlet.current !== main) return greenlet.switch()
  asked = greenlet
  let result
  do result = asked.switch()
  while (!greenlet.dead)
  return result
}

const inside = (callback) =>
  typeof callback !== 'function'
    ? callback
    : function (...args) {
        return run(() => Reflect.apply(callback, this, args))
      }

function wrap(object, name, ...positions) {
  const original = object[name]
  const wrapper = {
    [name](...args) {
      for (const position of positions) args[position] = inside(args[position])
      return Reflect.apply(original, this, args)
    },
  }[name]
  Object.defineProperties(wrapper, Object.getOwnPropertyDescriptors(original))
  object[name] = wrapper
}

for (const name of ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask']) wrap(globalThis, name, 0)
wrap(process, 'nextTick', 0)
wrap(Promise.prototype, 'then', 0, 1)

const { emit } = EventEmitter.prototype
EventEmitter.prototype.emit = function (...args) {
  return this.listenerCount?.(args[0]) > 0
    ? run(() => Reflect.apply(emit, this, args))
    : Reflect.apply(emit, this, args)
}

process.on('exit', () => {
  if (process.env.EVERYWHERE_TELL !== undefined) process._rawDebug(`suspended ${suspensions} times`)
})
