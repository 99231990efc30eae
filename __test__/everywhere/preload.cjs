// `node --require=.../preload.cjs program` runs the program and each of its callbacks inside a greenlet of its own, that is suspended
// before and after it, and whenever another callback begins or ends within it: the main module, event listeners, timers,
// immediates, ticks, microtasks, what promises call, and the callbacks of fs, dns, zlib and crypto. The program must not notice.
//
//   main          run ─────► (resumes whoever asked) ─────► ... until the callback has ended
//                    ╲            ▲      ╲
//   greenlet A        pause ──────┘       callback ... emit ─► greenlet B: pause, listener, pause ... pause
//
// EVERYWHERE=wrapped is the control: the same wrappers, but no greenlets. EVERYWHERE=tell counts the suspensions.

'use strict'
const { AsyncResource } = require('node:async_hooks')
const { EventEmitter } = require('node:events')
const Module = require('node:module')
const { join } = require('node:path')

const { EVERYWHERE } = process.env
const CONTROLS = {
  wrapped: (body) => body(),
  resources: (body) => new AsyncResource('GREENLET').runInAsyncScope(body),
}
const run = CONTROLS[EVERYWHERE] ?? runner()

function runner() {
  const binary = 'NAPI_RS_NATIVE_LIBRARY_PATH'
  const before = process.env[binary]
  process.env[binary] ??= join(__dirname, '../../js/greenlets.linux-x64-gnu.node')
  const { Greenlet } = require('../../dist/index.js')
  if (before === undefined) delete process.env[binary]

  const { main } = Greenlet
  let asked
  let suspensions = 0
  if (EVERYWHERE === 'tell') process.on('exit', () => process._rawDebug(`suspended ${suspensions} times`))

  /** Suspends the running greenlet and all below it; main resumes it at once. */
  function pause() {
    const { current } = Greenlet
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

  return (body) => {
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
}

/** `name` of `object` with what `change` makes of its arguments. */
function wrap(object, name, change) {
  const original = object[name]
  const wrapper = {
    [name](...args) {
      change(args)
      return new.target === undefined
        ? Reflect.apply(original, this, args)
        : Reflect.construct(original, args, new.target === wrapper ? original : new.target)
    },
  }[name]
  Object.defineProperties(wrapper, Object.getOwnPropertyDescriptors(original))
  object[name] = wrapper
  return wrapper
}

function inside(args, index) {
  const callback = args.at(index)
  if (typeof callback !== 'function') return
  args[index < 0 ? args.length + index : index] = function (...given) {
    return run(() => Reflect.apply(callback, this, given))
  }
}

const first = (args) => inside(args, 0)
const last = (args) => inside(args, -1)

const timers = require('node:timers')
for (const name of ['setTimeout', 'setInterval', 'setImmediate']) timers[name] = wrap(globalThis, name, first)
wrap(globalThis, 'queueMicrotask', first)
wrap(process, 'nextTick', first)
wrap(Promise.prototype, 'then', (args) => {
  inside(args, 0)
  inside(args, 1)
})

for (const module of ['fs', 'dns', 'zlib', 'crypto'])
  for (const [name, { value, writable }] of Object.entries(Object.getOwnPropertyDescriptors(require(module))))
    if (typeof value === 'function' && writable && /^[a-z](?!.*Sync$)/.test(name)) wrap(require(module), name, last)

const { emit } = EventEmitter.prototype
EventEmitter.prototype.emit = function (...args) {
  return this.listenerCount?.(args[0]) > 0
    ? run(() => Reflect.apply(emit, this, args))
    : Reflect.apply(emit, this, args)
}

const { _load } = Module
Module._load = function (...args) {
  return args[2] === true ? run(() => Reflect.apply(_load, this, args)) : Reflect.apply(_load, this, args)
}
