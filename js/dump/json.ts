/**
 * JSON of plain data, such as that of dumps, that does not call a `toJSON` that the program has put on `Object.prototype` or
 * `Array.prototype`, as old libraries do.
 */

import { isProxy } from 'node:util/types'

// The program may replace them later.
const { stringify } = JSON
const { getOwnPropertyDescriptor, getPrototypeOf, keys } = Object
const { isArray } = Array

/** So deep are objects of more than one realm: what a copy of the package in another realm has collected, in an object of this one. */
const MOST_DEPTH = 4

/** As JSON.stringify(), for plain objects, arrays and primitive values. */
export function jsonOf(value: unknown): string {
  return isUntouched(value, 0) ? stringify(value) : write(value)
}

/** Whether JSON.stringify() calls no code. The elements of an array are alike, so it looks at one. */
export function isUntouched(value: unknown, depth: number = MOST_DEPTH): boolean {
  if (typeof value !== 'object' || value === null) return true
  for (
    let object = getPrototypeOf(value) as object | null;
    object !== null;
    object = getPrototypeOf(object) as object
  ) {
    if (isProxy(object) || getOwnPropertyDescriptor(object, 'toJSON') !== undefined) return false
  }
  if (depth === MOST_DEPTH) return true
  if (isArray(value)) return isUntouched(value[0], depth + 1)
  const names = keys(value)
  for (let i = 0; i < names.length; i++) {
    if (!isUntouched((value as Record<string, unknown>)[names[i]!], depth + 1)) return false
  }
  return true
}

function write(value: unknown): string {
  // Of a primitive value, this looks up nothing.
  if (typeof value !== 'object' || value === null) return stringify(value) ?? 'null'
  let text = ''
  if (isArray(value)) {
    for (let i = 0; i < value.length; i++) text += `${i === 0 ? '' : ','}${write(value[i])}`
    return `[${text}]`
  }
  const names = keys(value)
  for (let i = 0; i < names.length; i++) {
    const member = (value as Record<string, unknown>)[names[i]!]
    if (member !== undefined) text += `${text === '' ? '' : ','}${stringify(names[i]!)}:${write(member)}`
  }
  return `{${text}}`
}
