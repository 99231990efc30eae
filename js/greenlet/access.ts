/**
 * The two functions that read the private fields of greenlets, and the checks of arguments that use them.
 */

import { isProxy } from 'node:util/types'
import { typeError } from '../common/errors.ts'
import { refuseUnknown } from '../common/options.ts'
import { describe } from '../common/values.ts'
import type { GreenletRecord } from '../core/record.ts'
import { refuseSecondCopy } from '../native/copies.ts'

const KNOWN = ['parent', 'name', 'context'] as const

/** The class sets them, and nothing changes them later. */
export const access = {} as {
  recordOf(greenlet: object): GreenletRecord
  isGreenlet(value: unknown): value is object
}

/**
 * Whether `value` is the copy of a greenlet that a test runner makes for a diff: it has the prototype and the own properties, but no
 * record. Describing it must not throw, or the reason of the failure is lost.
 */
export function isCopy(value: object): boolean {
  return !access.isGreenlet(value) && !isProxy(value) && Object.hasOwn(value, 'serial')
}

/** The options of `new Greenlet()`. */
export function checkOptions(options: unknown): object {
  if (access.isGreenlet(options))
    throw typeError('the options of a greenlet are an object; pass a parent as { parent }')
  if (typeof options !== 'object' || options === null) {
    throw typeError(`the options of a greenlet are an object, not ${describe(options)}`)
  }
  return refuseUnknown<Record<(typeof KNOWN)[number], unknown>>('a greenlet', options, KNOWN)
}

/**
 * Throws where `value` is not a greenlet.
 *
 * @param of what takes it, for the message: `parkedAt()`
 */
export function checkGreenlet(of: string, value: unknown): void {
  if (access.isGreenlet(value)) return
  // Then it may well be a greenlet of the copy that has the thread.
  refuseSecondCopy()
  const kind = describe(value)
  throw typeError(
    kind === 'an instance of Greenlet' || kind === 'an instance of SpawnedGreenlet'
      ? `${of} takes a greenlet, not an object with the prototype of one; it comes from Object.create(), a Proxy, or another copy of greenlets`
      : `${of} takes a greenlet, not ${kind}`,
  )
}

export function checkParent(parent: unknown): GreenletRecord {
  if (access.isGreenlet(parent)) return access.recordOf(parent)
  throw typeError(`the parent of a greenlet must be a Greenlet of this thread, not ${describe(parent)}`)
}
