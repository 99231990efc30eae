/**
 * Previews of values: bounded text that keeps nothing alive. No code of the program is called: no getter, no Proxy, no `toString`, and
 * none of the methods that a program may have replaced.
 */

import { types } from 'node:util'
import { printable } from '../common/text.ts'
import { isGlobal } from '../engine.ts'

/**
 * A value, as plain data. It does not refer to the value, so it keeps nothing alive and does not change with it.
 *
 * @example
 * ```js
 * import { locals } from 'greenlets/inspect'
 *
 * const g = new Greenlet(function job() {
 *   const names = ['ada', 'bob']
 *   Greenlet.main.switch(names)
 * })
 * g.switch()
 * const { names } = locals(g.gr_frame).scopes[0].variables
 * names // { type: 'array', text: "[ 'ada', 'bob' ]" }
 * ```
 */
export interface Preview {
  /**
   * What it is: as `typeof` says, but `null`, `array`, `error`, `map`, `set`, `date`, `regexp`, `promise`, `typedarray` and `proxy` for
   * these objects. `unavailable`: V8 does not have the value, because the line that declares the variable has not run, or because
   * optimised code has dropped it.
   */
  readonly type: string
  /** As the console prints it, but cut, and in one line: control characters are escaped. A getter is `[Getter]`, a Proxy is `[Proxy]`, the global object of a realm is `[global]`. */
  readonly text: string
  /** The value itself, for strings (cut), booleans, and numbers. */
  readonly value?: string | number | boolean
  /** Whether `value` or `text` leaves something out. */
  readonly cut?: true
}

/** How much of a value is shown. */
export interface Bounds {
  /** Levels of objects in objects. */
  readonly depth: number
  /** Elements or properties of each object. */
  readonly items: number
  /** Characters of each string. */
  readonly characters: number
}

/** Values in one preview, unless `items` is more. */
const MOST_VALUES = 500
/** Characters of the name of a class, function or variable. */
const MOST_IN_NAME = 100
/** Prototypes that are searched for the name of a class. */
const MOST_PROTOTYPES = 20

// The program may replace all of these later.
const { getOwnPropertyDescriptor: describe, getPrototypeOf, ownKeys, apply } = Reflect
const { create: createObject } = Object
const { isArray } = Array
const { isInteger } = Number
const { fromCharCode } = String
const { stringify } = JSON
const { max, min } = Math
const { test } = RegExp.prototype
const { charCodeAt, valueOf: stringValue } = String.prototype
const { toString: symbolToString, valueOf: symbolValue } = Symbol.prototype
const { toString: bigintToString, valueOf: bigintValue } = BigInt.prototype
const { valueOf: numberValue } = Number.prototype
const { valueOf: booleanValue } = Boolean.prototype
const { getTime, toISOString } = Date.prototype
const { entries: mapEntries } = Map.prototype
const { values: setValues } = Set.prototype
const { next: mapNext } = getPrototypeOf(new Map().entries()) as Iterator<unknown>
const { next: setNext } = getPrototypeOf(new Set().values()) as Iterator<unknown>
const mapSize = getterOf(Map.prototype, 'size')
const setSize = getterOf(Set.prototype, 'size')
const typedLength = getterOf(getPrototypeOf(Uint8Array.prototype) as object, 'length')
const byteLength = getterOf(ArrayBuffer.prototype, 'byteLength')
const regexpSource = getterOf(RegExp.prototype, 'source')
const FLAGS = [
  ['d', 'hasIndices'],
  ['g', 'global'],
  ['i', 'ignoreCase'],
  ['m', 'multiline'],
  ['s', 'dotAll'],
  ['u', 'unicode'],
  ['v', 'unicodeSets'],
  ['y', 'sticky'],
].map(([flag, name]) => [flag!, describe(RegExp.prototype, name!)?.get] as const)

const IDENTIFIER = /^[A-Za-z_$][\w$]*$/
const PLAIN = /^[^']*$/

function getterOf(object: object, key: string): (this: unknown) => unknown {
  return describe(object, key)!.get!
}

/** A preview of `value`. Never throws. */
export function preview(value: unknown, bounds: Bounds): Preview {
  const writer = new Writer(bounds)
  let type = 'unavailable'
  let text: string
  try {
    type = typeOf(value)
    text = writer.textOf(value)
    // Names, symbols, messages and patterns have control characters, too.
    text = printable(text, text.length)
  } catch {
    text = `[${type}]`
  }
  const cut = writer.cut ? ({ cut: true } as const) : undefined
  if (typeof value === 'string') return { type, text, value: writer.copyOf(value), ...cut }
  if (typeof value === 'number' || typeof value === 'boolean') return { type, text, value, ...cut }
  return { type, text, ...cut }
}

/** The variable has no value. */
export const UNAVAILABLE: Preview = Object.freeze({ type: 'unavailable', text: '<unavailable>' })

/**
 * The names of the variables of a scope. They keep no longer strings alive, and no two are the same, also where they are cut or escaped.
 */
export class Names {
  /** How many names have become this text. */
  readonly #used = createObject(null) as Record<string, number>

  of(key: string): string {
    const name = nameOf(key)
    let unused = name
    let same = this.#used[name] ?? 0
    while (this.#used[unused] !== undefined) unused = `${name} (${++same})`
    this.#used[name] = max(1, same)
    this.#used[unused] ??= 1
    return unused
  }
}

/** A copy of the name of a scope or variable, without control characters; of a long one, its beginning and how much is left out. */
export function nameOf(name: string): string {
  const left = name.length - MOST_IN_NAME
  const begin = beginOf(name, MOST_IN_NAME)
  // An object of `with` has any names.
  const copy = printable(begin, begin.length)
  return left > 0 ? `${copy}... ${left} more characters` : copy
}

/**
 * A copy of the beginning of a string. `slice()` would keep the whole one alive, and so would the string itself if it is a part of
 * one.
 */
function beginOf(text: string, most: number): string {
  const length = min(text.length, most)
  let copy = ''
  for (let i = 0; i < length; i++) copy += fromCharCode(apply(charCodeAt, text, [i]) as number)
  return copy
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value !== 'object' && typeof value !== 'function') return typeof value
  if (types.isProxy(value)) return 'proxy'
  if (typeof value === 'function') return 'function'
  if (isArray(value)) return 'array'
  if (types.isNativeError(value)) return 'error'
  if (types.isMap(value)) return 'map'
  if (types.isSet(value)) return 'set'
  if (types.isDate(value)) return 'date'
  if (types.isRegExp(value)) return 'regexp'
  if (types.isPromise(value)) return 'promise'
  return types.isTypedArray(value) ? 'typedarray' : 'object'
}

/** As the console quotes a string: with single quotes where nothing has to be escaped. */
function quote(text: string): string {
  const escaped = stringify(text)
  return apply(test, PLAIN, [text]) === true && escaped.length === text.length + 2 ? `'${text}'` : escaped
}

/** Writes one preview. */
class Writer {
  readonly #bounds: Bounds
  /** The objects that the value being written is in. */
  readonly #around: object[] = []
  #values = 0
  /** Whether something was left out. */
  cut = false

  constructor(bounds: Bounds) {
    this.#bounds = bounds
  }

  textOf(value: unknown): string {
    switch (typeof value) {
      case 'string':
        return this.#quoted(value)
      case 'number':
        return value === 0 && 1 / value < 0 ? '-0' : `${value}`
      case 'bigint':
        return this.#bigint(value)
      case 'symbol':
        return this.copyOf(apply(symbolToString, value, []) as string)
      case 'object':
      case 'function':
        return value === null ? 'null' : this.#object(value)
      default:
        return `${value as undefined | boolean}`
    }
  }

  copyOf(text: string, most: number = this.#bounds.characters): string {
    if (text.length > most) this.cut = true
    return beginOf(text, most)
  }

  #quoted(text: string): string {
    const copy = this.copyOf(text)
    return copy.length < text.length ? `${quote(copy)}... ${text.length - copy.length} more characters` : quote(copy)
  }

  #bigint(value: bigint): string {
    // Writing a large one in decimal digits takes long.
    if (-(2n ** 512n) < value && value < 2n ** 512n) return `${apply(bigintToString, value, []) as string}n`
    this.cut = true
    return '[bigint of more than 512 bits]'
  }

  #object(object: object): string {
    if (types.isProxy(object)) return '[Proxy]'
    if (typeof object === 'function') return this.#function(object)
    // That of a vm context asks the sandbox, which can be a Proxy.
    if (isGlobal(object)) return '[global]'
    for (let i = 0; i < this.#around.length; i++) if (this.#around[i] === object) return '[Circular]'
    const kind = this.#classOf(object)
    if (types.isDate(object)) return this.#date(object)
    if (types.isBoxedPrimitive(object)) return this.#boxed(kind, object)
    if (types.isRegExp(object)) return this.#regexp(object)
    if (types.isAnyArrayBuffer(object)) {
      return types.isArrayBuffer(object)
        ? `${kind} { byteLength: ${apply(byteLength, object, []) as number} }`
        : `${kind} {}`
    }
    if (this.#around.length >= this.#bounds.depth || !this.#goesOn()) {
      this.cut = true
      return isArray(object) ? '[Array]' : `[${kind === '' ? 'Object' : kind}]`
    }
    this.#around.push(object)
    try {
      if (isArray(object))
        return this.#list(kind === 'Array' ? '' : `${kind}(${object.length}) `, object, object.length)
      if (types.isTypedArray(object)) {
        const length = apply(typedLength, object, []) as number
        return this.#list(`${kind}(${length}) `, object, length)
      }
      if (types.isMap(object)) return this.#map(kind, object)
      if (types.isSet(object)) return this.#set(kind, object)
      if (types.isNativeError(object)) return this.#error(kind, object)
      return this.#properties(kind === 'Object' ? '' : `${kind === '' ? '[null prototype]' : kind} `, object)
    } finally {
      this.#around.pop()
    }
  }

  #function(fn: object): string {
    const name = this.#dataOf(fn, 'name')
    const prototype = describe(fn, 'prototype')
    const kind =
      prototype !== undefined && prototype.writable === false && !types.isGeneratorFunction(fn) ? 'class' : 'function'
    return typeof name === 'string' && name !== '' ? `[${kind} ${this.copyOf(name, MOST_IN_NAME)}]` : `[${kind}]`
  }

  /** Without properties: each character of a string is one. */
  #boxed(kind: string, object: object): string {
    const [name, valueOf] = types.isStringObject(object)
      ? ['String', stringValue]
      : types.isNumberObject(object)
        ? ['Number', numberValue]
        : types.isBooleanObject(object)
          ? ['Boolean', booleanValue]
          : types.isSymbolObject(object)
            ? ['Symbol', symbolValue]
            : ['BigInt', bigintValue]
    return `[${kind === '' ? name : kind}: ${this.textOf(apply(valueOf, object, []))}]`
  }

  #date(date: Date): string {
    const time = apply(getTime, date, []) as number
    return isInteger(time) ? (apply(toISOString, date, []) as string) : 'Invalid Date'
  }

  #regexp(regexp: RegExp): string {
    let flags = ''
    for (let i = 0; i < FLAGS.length; i++) {
      const [flag, getter] = FLAGS[i]!
      if (getter !== undefined && apply(getter, regexp, []) === true) flags += flag
    }
    return `/${this.copyOf(apply(regexpSource, regexp, []) as string)}/${flags}`
  }

  #error(kind: string, error: Error): string {
    const message = this.#dataOf(error, 'message')
    return typeof message === 'string' ? `[${kind}: ${this.copyOf(message)}]` : `[${kind}]`
  }

  #list(prefix: string, list: object, length: number): string {
    const parts: string[] = []
    const shown = min(length, this.#bounds.items)
    for (let i = 0; i < shown && this.#goesOn(); i++) {
      const property = describe(list, `${i}`)
      parts.push(property === undefined ? '<empty>' : this.#property(property))
    }
    return this.#bracketed(prefix, '[', ']', parts, length)
  }

  #map(kind: string, map: Map<unknown, unknown>): string {
    const size = apply(mapSize, map, []) as number
    const entries = apply(mapEntries, map, []) as object
    const parts: string[] = []
    while (parts.length < this.#bounds.items && this.#goesOn()) {
      const step = apply(mapNext, entries, []) as IteratorResult<[unknown, unknown]>
      if (step.done === true) break
      this.#values++
      parts.push(`${this.textOf(step.value[0])} => ${this.textOf(step.value[1])}`)
    }
    return this.#bracketed(`${kind}(${size}) `, '{', '}', parts, size)
  }

  #set(kind: string, set: Set<unknown>): string {
    const size = apply(setSize, set, []) as number
    const values = apply(setValues, set, []) as object
    const parts: string[] = []
    while (parts.length < this.#bounds.items && this.#goesOn()) {
      const step = apply(setNext, values, []) as IteratorResult<unknown>
      if (step.done === true) break
      this.#values++
      parts.push(this.textOf(step.value))
    }
    return this.#bracketed(`${kind}(${size}) `, '{', '}', parts, size)
  }

  #properties(prefix: string, object: object): string {
    const keys = ownKeys(object)
    const parts: string[] = []
    let enumerable = 0
    for (let i = 0; i < keys.length && parts.length < this.#bounds.items && this.#goesOn(); i++) {
      const key = keys[i]!
      let property: PropertyDescriptor | undefined
      try {
        property = describe(object, key)
      } catch {
        // A binding of a module that has no value yet.
        property = { enumerable: true, get: () => undefined }
      }
      if (property?.enumerable !== true) continue
      enumerable++
      const name = typeof key === 'symbol' ? `[${this.textOf(key)}]` : this.#key(key)
      parts.push(`${name}: ${this.#property(property)}`)
    }
    const all = parts.length < this.#bounds.items && this.#goesOn() ? enumerable : keys.length
    return this.#bracketed(prefix, '{', '}', parts, all)
  }

  #key(key: string): string {
    const copy = this.copyOf(key, MOST_IN_NAME)
    return apply(test, IDENTIFIER, [copy]) === true ? copy : quote(copy)
  }

  #property(property: PropertyDescriptor): string {
    if (property.get !== undefined) return property.set === undefined ? '[Getter]' : '[Getter/Setter]'
    if (property.set !== undefined) return '[Setter]'
    this.#values++
    return this.textOf(property.value)
  }

  #goesOn(): boolean {
    return this.#values < max(MOST_VALUES, this.#bounds.items)
  }

  #bracketed(prefix: string, open: string, close: string, parts: string[], all: number): string {
    if (all > parts.length) {
      this.cut = true
      parts.push(`... ${all - parts.length} more`)
    }
    let text = ''
    for (let i = 0; i < parts.length; i++) text += i === 0 ? parts[i]! : `, ${parts[i]!}`
    return text === '' ? `${prefix}${open}${close}` : `${prefix}${open} ${text} ${close}`
  }

  /** The value of an own property; undefined where it has a getter. */
  #dataOf(object: object, key: string): unknown {
    return describe(object, key)?.value
  }

  /** The name of the object's class; '' where it has no prototype. */
  #classOf(object: object): string {
    let prototype: object | null = object
    for (let i = 0; i < MOST_PROTOTYPES; i++) {
      prototype = getPrototypeOf(prototype)
      if (prototype === null) return i === 0 ? '' : 'Object'
      if (types.isProxy(prototype) || isGlobal(prototype)) return 'Object'
      const constructor = this.#dataOf(prototype, 'constructor')
      if (typeof constructor !== 'function' || types.isProxy(constructor)) continue
      const name = this.#dataOf(constructor, 'name')
      if (typeof name === 'string' && name !== '') return this.copyOf(name, MOST_IN_NAME)
    }
    return 'Object'
  }
}
