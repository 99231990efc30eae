/**
 * Texts of the program that are safe to print: without control characters, and not too long. None of these functions calls
 * code of the program. `printable` of common/text.ts is less strict; that file says why.
 */

import { isProxy } from 'node:util/types'

/** More of a name is not shown. */
export const MOST_OF_NAME = 200
/** More of a line of a stack is not shown. */
export const MOST_OF_LINE = 500

// Not the methods that the program may have replaced since.
const { getOwnPropertyDescriptor, getPrototypeOf } = Object

/**
 * Characters that a terminal obeys or that change what is seen: control characters, the marks of the bidirectional algorithm,
 * invisible ones, separators of lines, and halves of surrogate pairs.
 */
const UNSAFE =
  // oxlint-disable-next-line no-control-regex -- they are what it is for
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|\u{e0001}|[\u{e0020}-\u{e007f}]/gu

/** Escapes what is not safe to print, and cuts the rest off. Says how much was cut off. */
export function clean(text: string, most: number = MOST_OF_NAME): string {
  const kept = text.length > most ? text.slice(0, most) : text
  const escaped = kept.replaceAll(UNSAFE, escapeCharacter)
  return kept === text ? escaped : `${escaped}… (${text.length - most} more)`
}

function escapeCharacter(character: string): string {
  const code = character.codePointAt(0)!
  if (code === 9) return '\\t'
  if (code === 10) return '\\n'
  if (code === 13) return '\\r'
  return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`
}

/** The name of the class of an object. Reads no getter and calls no trap of a Proxy. */
export function kindOf(value: unknown): string {
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return typeof value
  // A prototype chain can be long, but not endless.
  for (let object: object | null = value as object, i = 0; object !== null && i < 100; i++) {
    if (isProxy(object)) return object === value ? 'Proxy' : 'Object'
    const constructor = getOwnPropertyDescriptor(object, 'constructor')?.value as unknown
    if (typeof constructor === 'function' && !isProxy(constructor)) {
      const name = getOwnPropertyDescriptor(constructor, 'name')?.value as unknown
      if (typeof name === 'string' && name !== '') return clean(name)
    }
    object = getPrototypeOf(object) as object | null
  }
  return 'Object'
}
