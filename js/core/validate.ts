/**
 * Checks for the arguments of greenlets. A wrong argument is a TypeError with the code `ERR_GREENLET_INVALID_ARG`.
 */

import { AsyncResource } from 'node:async_hooks'
import { typeError } from '../common/errors.ts'
import { describe } from '../common/values.ts'
import type { Run } from './record.ts'

export function checkRun(run: unknown): Run | null | undefined {
  if (run === null || run === undefined || typeof run === 'function') return run as Run | null | undefined
  throw typeError(`a greenlet runs a function, not ${describe(run)}`)
}

export function checkContext(context: unknown): AsyncResource | null {
  if (context === null) return null
  // An object that only has the prototype has no id.
  if (context instanceof AsyncResource && Number.isSafeInteger(context.asyncId())) return context
  throw typeError(`greenlet context must be an AsyncResource or null, not ${describe(context)}`)
}

export function checkName(name: unknown): string {
  if (typeof name === 'string') return name
  throw typeError(`the name of a greenlet must be a string, not ${describe(name)}`)
}
