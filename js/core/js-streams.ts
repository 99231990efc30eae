/**
 * Protects streams that are made in JavaScript and lie below a connection of TLS or HTTP/2. C++ reads what such a stream is
 * given at once, and calls JavaScript meanwhile, for example a listener of `'data'`. If a greenlet is suspended there, the
 * connection is in the middle of what it reads. So more data for the stream is refused until that greenlet goes on.
 *
 *     stream.push(data) ─► 'data' ─► JSStream.readBuffer ─► TLS, HTTP/2 ─► listeners of the program
 */

import { CallsInProgress } from './calls-in-progress.ts'
import { type Methods, replaceEach } from './replace.ts'

/** The object of C++ below a `TLSSocket`; see lib/_tls_wrap.js of Node 20 to 26. */
interface Handle {
  readonly readBuffer?: unknown
  /** What is below this one. */
  readonly _parent?: Handle | null
}

/** Replaces the methods by which a stream gives data and its end to C++. */
export function patchJsStreams(): void {
  const prototype = jsStreams()
  if (prototype === undefined) return
  const calls = new CallsInProgress()
  replaceEach(prototype, ['readBuffer', 'emitEOF'], (method) => {
    return function (...args) {
      const stream = this as object
      calls.refuseToOthers(stream, 'the connection cannot read this data', 'give the stream more data after that')
      return calls.run(stream, 'a callback of the same connection', () => Reflect.apply(method, stream, args))
    }
  })
}

/** Whether a handle of C++ reads a stream that is made in JavaScript, through one or several connections of TLS. */
export function readsJsStream(handle: unknown): boolean {
  let below = handle as Handle | null | undefined
  while (below?.readBuffer === undefined && below?._parent != null) below = below._parent
  return below?.readBuffer !== undefined
}

/**
 * The prototype of the class; undefined where Node.js does not give it, as with `--permission`. `process.binding()` prints a
 * warning with `--pending-deprecation`, and there is no other way to this class.
 */
function jsStreams(): Methods | undefined {
  const { noDeprecation } = process
  try {
    process.noDeprecation = true
    const { binding } = process as unknown as { binding(name: string): { JSStream: { prototype: Methods } } }
    return binding('js_stream').JSStream.prototype
  } catch {
    return undefined
  } finally {
    if (noDeprecation === undefined) Reflect.deleteProperty(process, 'noDeprecation')
    else process.noDeprecation = noDeprecation
  }
}
