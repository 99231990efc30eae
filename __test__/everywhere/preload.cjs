// `node --require=.../preload.cjs program` runs the program and each of its callbacks inside a greenlet of its own. That
// greenlet is suspended before and after the callback, and whenever another callback begins or ends within it. Wrapped are: the
// main module, event listeners, timers, immediates, ticks, microtasks, callbacks of promises, and the callbacks of fs, dns,
// zlib and crypto. The program must not notice.
//
//   main          run ─────► (resumes the greenlet that paused) ─────► ... until the callback has ended
//                    ╲            ▲      ╲
//   greenlet A        pause ──────┘       callback ... emit ─► greenlet B: pause, listener, pause ... pause
//
// EVERYWHERE=resources is the control: the same wrappers, but each enters an AsyncResource instead of a greenlet.
// EVERYWHERE=tell counts the suspensions. EVERYWHERE_PARKED=100 suspends so many other greenlets for the whole run, so that full
// collections leave out stacks.

'use strict'
const { AsyncResource } = require('node:async_hooks')
const { EventEmitter } = require('node:events')
const Module = require('node:module')
const { join } = require('node:path')

const { EVERYWHERE } = process.env
const { Greenlet } = load()
const { main } = Greenlet
let paused
let suspensions = 0
if (EVERYWHERE === 'tell') process.on('exit', () => process._rawDebug(`suspended ${suspensions} times`))

const parked = Array.from({ length: Number(process.env.EVERYWHERE_PARKED ?? 0) }, () => new Greenlet(park))
parked.forEach((greenlet, i) => greenlet.switch(i % 5, { i }))

function park(depth, own) {
  return depth === 0 ? main.switch(own) : park(depth - 1, own)
}

const run = EVERYWHERE === 'resources' ? inResource : inGreenlet

/** Loads the built package with the binary of the working tree. A first greenlet connects it to this thread. */
function load() {
  const { NAPI_RS_NATIVE_LIBRARY_PATH } = process.env
  process.env.NAPI_RS_NATIVE_LIBRARY_PATH ??= join(__dirname, '../../js/native/greenlets.linux-x64-gnu.node')
  const greenlets = require('../../dist/index.js')
  if (NAPI_RS_NATIVE_LIBRARY_PATH === undefined) delete process.env.NAPI_RS_NATIVE_LIBRARY_PATH
  new greenlets.Greenlet(() => {}).switch()
  return greenlets
}

function inResource(body) {
  return new AsyncResource('GREENLET').runInAsyncScope(body)
}

function inGreenlet(body) {
  const greenlet = new Greenlet(() => {
    pause()
    try {
      return body()
    } finally {
      pause()
    }
  })
  // Only main runs the loop below. Under any other greenlet main is already in that loop.
  if (Greenlet.current !== main) return begin(greenlet, body)
  let result = begin(greenlet, body)
  while (greenlet.started && !greenlet.dead) result = paused.switch()
  return result
}

/** If the stack must not be left here, the callback runs without a greenlet. */
function begin(greenlet, body) {
  paused = greenlet
  try {
    return greenlet.switch()
  } catch (error) {
    if (greenlet.started || greenlet.dead || error?.code !== 'ERR_GREENLET_FORBIDDEN') throw error
    return body()
  }
}

/** Suspends the running greenlet and the stacks below it; main resumes it at once. */
function pause() {
  const { current } = Greenlet
  if (current === main) return
  paused = current
  try {
    main.switch()
    suspensions++
  } catch (error) {
    if (error?.code !== 'ERR_GREENLET_FORBIDDEN') throw error
  }
}

/** Wraps the function `name` of `object`, so that `change` gets its arguments first. */
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
