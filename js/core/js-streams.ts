/**
 * Protects streams that are made in JavaScript and lie below a connection of TLS or HTTP/2. C++ reads what such a stream is
 * given at once, and calls JavaScript meanwhile, for example a listener of `'data'`. If a greenlet is suspended there, the
 * connection is in the middle of what it reads. So more data for the stream waits until that call has returned.
 *
 *     stream.push(data) ─► 'data' ─► JSStream.readBuffer ─► TLS, HTTP/2 ─► listeners of the program
 */

import { immediate } from '../common/turns.ts'
import { DEAD, type GreenletRecord } from './record.ts'
import { type Methods, replaceEach } from './replace.ts'
import { main, thread } from './thread.ts'

/** The object of C++ below a `TLSSocket`; see lib/_tls_wrap.js of Node 20 to 26. */
interface Handle {
  readonly readBuffer?: unknown
  /** What is below this one. */
  readonly _parent?: Handle | null
}

/** What C++ reads of one stream. */
interface Reading {
  /** The greenlet whose calls have not returned. */
  greenlet: GreenletRecord
  calls: number
  /** What has come meanwhile, in order. */
  readonly pending: (() => unknown)[]
}

const readings = new WeakMap<object, Reading>()

/** Replaces the methods by which a stream gives data and its end to C++. */
export function patchJsStreams(): void {
  const prototype = jsStreams()
  if (prototype === undefined) return
  replaceEach(prototype, ['readBuffer', 'emitEOF'], (method) => {
    return function (...args) {
      return read(this as object, () => Reflect.apply(method, this, args))
    }
  })
}

/** Calls `call` now, or later where another stack is inside of a call for the same stream. */
function read(stream: object, call: () => unknown): unknown {
  const { current } = thread
  let reading = readings.get(stream)
  if (reading === undefined) {
    reading = { greenlet: current, calls: 0, pending: [] }
    readings.set(stream, reading)
  } else if (reading.greenlet.state === DEAD) {
    // V8 has ended it without running its `finally` blocks.
    reading.calls = 0
    if (reading.pending.length > 0) immediate(readPending, stream, reading)
  }
  if (reading.pending.length > 0 || (reading.calls > 0 && reading.greenlet !== current)) {
    reading.pending.push(call)
    return undefined
  }
  reading.greenlet = current
  reading.calls++
  try {
    return call()
  } finally {
    reading.calls--
    if (reading.calls === 0) {
      if (reading.pending.length === 0) readings.delete(stream)
      else immediate(readPending, stream, reading)
    }
  }
}

/** On main: gives C++ what has come while a call was in progress. */
function readPending(stream: object, reading: Reading): void {
  const { pending } = reading
  if (reading.calls > 0) return
  reading.greenlet = main
  while (pending.length > 0) {
    let returned = false
    reading.calls++
    try {
      // It stays in the list meanwhile, so that what comes now is read after it.
      pending[0]!()
      returned = true
    } finally {
      reading.calls--
      pending.shift()
      if (pending.length === 0) readings.delete(stream)
      else if (!returned) immediate(readPending, stream, reading)
    }
  }
}

/** Whether a handle of C++ reads a stream that is made in JavaScript, through one or several connections of TLS. */
export function readsJsStream(handle: unknown): boolean {
  let below = handle as Handle | null | undefined
  while (below !== null && below !== undefined && below.readBuffer === undefined) below = below._parent
  return below !== null && below !== undefined
}

/**
 * The prototype of the class; undefined where Node.js does not give it, as with `--permission`. `process.binding()` prints a
 * warning with `--pending-deprecation`, and there is no other way to this class.
 */
function jsStreams(): Methods | undefined {
  // With --no-deprecation it is true, and cannot be changed.
  const before = Object.getOwnPropertyDescriptor(process, 'noDeprecation')
  try {
    if (process.noDeprecation !== true) process.noDeprecation = true
    const { binding } = process as unknown as { binding(name: string): { JSStream: { prototype: Methods } } }
    return binding('js_stream').JSStream.prototype
  } catch {
    return undefined
  } finally {
    if (before === undefined) Reflect.deleteProperty(process, 'noDeprecation')
    else if (before.value !== true) Reflect.defineProperty(process, 'noDeprecation', before)
  }
}
