/**
 * Makes the `stack` of an error tell the waits that the error came out of, as the `at async` lines of V8 tell the `await`s:
 * the frames of the greenlet that waited, and the name of that greenlet.
 *
 * The frames are captured where the wait throws the error, because they are gone when `stack` is read. Nothing else is done
 * then: V8 formats neither the error nor the frames before `stack` is read. An accessor takes the place of V8's own `stack`;
 * it asks V8 for the text of the error first.
 */

import { isProxy } from 'node:util/types'
import { isExit } from '../common/errors.ts'
import { Same } from '../common/same.ts'
import { LONGEST_NAME, printable } from '../common/text.ts'
import type { GreenletRecord } from '../core/record.ts'
import { thread } from '../core/thread.ts'
import { isOwnFrame } from './own-frames.ts'
import { textByProgram } from './program-text.ts'
import { type CallSite, getStack, sitesOf } from './realm.ts'
import { ensureCaptureRealm } from './snapshot.ts'

/** How many waits a `stack` tells. If there are more, the last one takes the place of the one before it. */
const MOST_WAITS = 5

// The program may replace these later. For the same reason there are loops below where arrays have methods.
const { stringify } = JSON
const { captureStackTrace } = Error
const { defineProperty, getOwnPropertyDescriptor, hasOwn, isExtensible, isFrozen } = Object
const { apply, defineProperty: tryToDefineProperty, deleteProperty } = Reflect
const functionOf = Function.prototype.bind.bind(Function.prototype.call) as <T, A extends unknown[], R>(
  method: (this: T, ...args: A) => R,
) => (self: T, ...args: A) => R
const endsWith = functionOf<string, [string], boolean>(String.prototype.endsWith)
const errorToString = functionOf<object, [], string>(Error.prototype.toString)
const exec = functionOf<RegExp, [string], RegExpExecArray | null>(RegExp.prototype.exec)
const includes = functionOf<string, [string], boolean>(String.prototype.includes)
const isEnumerable = functionOf<object, [string], boolean>(Object.prototype.propertyIsEnumerable)
const lookUpGetter = functionOf<object, [string], (() => unknown) | undefined>(
  (Object.prototype as { __lookupGetter__(key: string): (() => unknown) | undefined }).__lookupGetter__,
)
const sourceOf = functionOf<() => unknown, [], string>(Function.prototype.toString)

/** A wait that an error came out of. */
class Wait {
  /** What was waited for; undefined where an error interrupted the wait, or where it must not be kept. */
  readonly source: unknown
  // Not the record: an error must not keep what a greenlet refers to.
  readonly #label: string | undefined
  readonly #serial: number
  /** What V8 has captured. Dropped when it was read, because it refers to functions and to their `this`. */
  #capture: object | undefined
  #text: string | undefined

  constructor(source: unknown, waiter: GreenletRecord, capture: object) {
    this.source = source
    this.#capture = capture
    this.#label = waiter.label
    this.#serial = waiter.serial
  }

  /** A line for each frame, and one for the greenlet; '' where V8 has captured no frames. */
  get text(): string {
    return (this.#text ??= this.#format())
  }

  #format(): string {
    const lines = linesOf(this.#capture as Error)
    this.#capture = undefined
    if (lines === '') return ''
    // In the form of V8's frames without a place, for example `at Array.map (<anonymous>)`, which every tool that reads
    // stacks knows.
    const name = printable(stringify(this.#label ?? `greenlet-${this.#serial}`), LONGEST_NAME)
    return `${lines}\n    at [in greenlet ${name}] (<anonymous>)`
  }
}

/** The waits that one error came out of, and the accessor that its `stack` is. */
class Waits {
  readonly error: object
  /** V8's getter; undefined where `stack` looks like a data property (Node.js 20). */
  readonly #getOriginal: (() => unknown) | undefined
  readonly #accessor: PropertyDescriptor
  #list: Wait[] = []
  /** What `stack` is, until the next wait; undefined where it was not read. */
  #text: string | undefined
  #isReading = false
  /** What the program has set `stack` to. */
  #replacement: { readonly value: unknown } | undefined

  constructor(error: object, getOriginal: (() => unknown) | undefined) {
    this.error = error
    this.#getOriginal = getOriginal
    const get = (): unknown => this.#read()
    const assign = (target: unknown, value: unknown): void => this.#assign(target, value)
    const set = function (this: unknown, value: unknown): void {
      assign(this, value)
    }
    new Marked(get, this)
    const enumerable = isEnumerable(error, 'stack')
    this.#accessor = { get, set, enumerable, configurable: true }
    this.#install()
  }

  add(wait: Wait): void {
    if (this.#replacement !== undefined) return
    // Of the greenlets that wait for one promise, the last one counts, together with the waits after it.
    const list = this.#list
    let length = 0
    while (length < list.length && (wait.source === undefined || list[length]!.source !== wait.source)) length++
    list.length = length < MOST_WAITS ? length : MOST_WAITS - 1
    list[list.length] = wait
    this.#text = undefined
  }

  #read(): unknown {
    if (this.#replacement !== undefined) return this.#replacement.value
    if (this.#text !== undefined) return this.#text
    // `Error.prepareStackTrace` may read the `stack` that it is called for.
    if (this.#isReading) return this.#readOriginal()
    this.#isReading = true
    try {
      const original = this.#readOriginal()
      try {
        if (isTrace(original, this.error)) return (this.#text = original + this.#waitsText())
      } catch {
        // The running stack is nearly full, or the program has replaced what is needed here. V8's text counts more.
      }
      return original
    } finally {
      this.#isReading = false
    }
  }

  #waitsText(): string {
    let all = ''
    let before = ''
    for (let i = 0; i < this.#list.length; i++) {
      const { text } = this.#list[i]!
      // A loop that waits again for the same failure gives the same lines.
      if (text !== before) all += text
      before = text
    }
    return all
  }

  #assign(target: unknown, value: unknown): void {
    if (target !== this.error) return assignOwn(target, value)
    // As V8 does where its `stack` looks like a data property. Its accessors set the `stack` of a frozen error too.
    if (this.#getOriginal === undefined && isFrozen(this.error))
      throw new TypeError(`Cannot assign to read only property 'stack' of object '${headerOf(this.error)}'`)
    this.#replacement = { value }
    this.#list = []
  }

  #install(): void {
    // On Node.js 20, redefining V8's own property would format the error. A property that was deleted could not be added again to
    // an error that is not extensible.
    if (this.#getOriginal === undefined && isExtensible(this.error)) deleteProperty(this.error, 'stack')
    defineProperty(this.error, 'stack', this.#accessor)
  }

  #readOriginal(): unknown {
    if (this.#getOriginal !== undefined) return apply(this.#getOriginal, this.error, [])
    const property = getOwnPropertyDescriptor(this.error, 'stack')
    // The error has been frozen or sealed since, so V8's `stack` cannot be given back to it.
    if (property?.get !== this.#accessor.get || !property?.configurable) return headerOf(this.error)
    thread.native.restoreStack(this.error)
    try {
      return (this.error as { stack?: unknown }).stack
    } finally {
      this.#install()
    }
  }
}

/** A getter of a {@link Waits}. */
class Marked extends Same {
  readonly #waits: Waits

  constructor(getter: object, waits: Waits) {
    super(getter)
    this.#waits = waits
  }

  static waitsOf(getter: object): Waits | undefined {
    return #waits in getter ? getter.#waits : undefined
  }
}

/**
 * Notes that `waiter` throws `error` out of a wait: its `stack` will tell that. Ignores what is not an error, a `GreenletExit`,
 * and a `stack` that is not V8's own or cannot be changed. Calls no code of the program and never throws.
 *
 * @param source what was waited for, which the error keeps; undefined where nothing is to be compared
 * @param from the function of the package that was called to wait; its frame and those further in are left out
 */
export function noteWait(
  error: unknown,
  waiter: GreenletRecord,
  source: unknown,
  from: (...args: never[]) => unknown,
): void {
  try {
    if (typeof error !== 'object' || error === null || isProxy(error) || isExit(error)) return
    const waits = waitsOf(error)
    if (waits === undefined) return
    const capture = {}
    captureStackTrace(capture, from)
    waits.add(new Wait(source, waiter, capture))
  } catch {
    // The running stack is nearly full. The error counts more than its text.
  }
}

function waitsOf(error: object): Waits | undefined {
  if (getStack === undefined) return waitsOfData(error)
  const property = getOwnPropertyDescriptor(error, 'stack')
  const get = property?.get
  if (get === undefined || property!.configurable !== true) return undefined
  const known = Marked.waitsOf(get)
  if (known !== undefined) return known.error === error ? known : undefined
  // Another realm has a getter of its own.
  return get === getStack || endsWith(sourceOf(get), '{ [native code] }') ? new Waits(error, get) : undefined
}

/** Where V8's `stack` looks like a data property (Node.js 20). Reading its descriptor would format the error. */
function waitsOfData(error: object): Waits | undefined {
  const get = lookUpGetter(error, 'stack')
  const known = get === undefined ? undefined : Marked.waitsOf(get)
  if (known !== undefined) return known.error === error ? known : undefined
  const isV8s = get === undefined && hasOwn(error, 'stack') && thread.native.stackIsNative(error)
  return isV8s && isExtensible(error) ? new Waits(error, undefined) : undefined
}

/**
 * Whether it looks as V8 makes it: a text with frames, or only the error's name and message, as for errors that no JavaScript
 * has made. Other text is the program's.
 */
function isTrace(text: unknown, error: object): text is string {
  if (typeof text !== 'string') return false
  return includes(text, '\n    at ') || text === headerOf(error)
}

/** As an assignment to a data property: `target` inherits the accessor of an error, or got it with the error's descriptors. */
function assignOwn(target: unknown, value: unknown): void {
  if ((typeof target !== 'object' && typeof target !== 'function') || target === null) return
  const enumerable = getOwnPropertyDescriptor(target, 'stack')?.enumerable ?? true
  tryToDefineProperty(target, 'stack', { value, writable: true, enumerable, configurable: true })
}

/** The name and the message of an error. */
function headerOf(error: object): string | undefined {
  try {
    return errorToString(error)
  } catch {
    return undefined
  }
}

/** The lines of captured frames, each after a line feed, as the program formats frames. */
function linesOf(capture: Error): string {
  const sites = programSites(capture)
  if (sites === undefined) return atLines(capture.stack)
  let innermost = 0
  let end = sites.length
  // Where a promise job runs, V8 adds the async callers at the outer end. They are not on the stack.
  while (innermost < end && sites[end - 1]!.isAsync()) end--
  while (innermost < end && isOwnFrame(sites[end - 1]!)) end--
  while (innermost < end && isOwnFrame(sites[innermost]!)) innermost++
  const shown: CallSite[] = []
  let lines = ''
  for (let i = innermost; i < end; i++) {
    shown[shown.length] = sites[i]!
    lines += `\n    at ${sites[i]!.toString()}`
  }
  return (lines === '' ? '' : textByProgram(shown)) ?? lines
}

function atLines(text: unknown): string {
  let lines = ''
  if (typeof text !== 'string') return lines
  const line = /\n[ \t]+at .*/g
  for (let match = exec(line, text); match !== null; match = exec(line, text)) lines += match[0]
  return lines
}

const keepSites = (_: unknown, sites: readonly CallSite[]): readonly CallSite[] => sites

/** The call sites of an error of this realm. As `sitesOf`, which reads the errors of the private realm. */
function programSites(capture: Error): CallSite[] | undefined {
  const realm = Error as { prepareStackTrace?: unknown }
  const saved = getOwnPropertyDescriptor(realm, 'prepareStackTrace')
  // An assignment is faster, but a setter of the program must not be called.
  const assigns = saved?.writable === true
  try {
    ensureCaptureRealm()
    if (assigns) realm.prepareStackTrace = keepSites
    else defineProperty(realm, 'prepareStackTrace', { value: keepSites, configurable: true })
  } catch {
    return undefined
  }
  try {
    return sitesOf(thread.native, capture)
  } finally {
    if (assigns) realm.prepareStackTrace = saved!.value
    else if (saved === undefined) deleteProperty(realm, 'prepareStackTrace')
    else defineProperty(realm, 'prepareStackTrace', saved)
  }
}
