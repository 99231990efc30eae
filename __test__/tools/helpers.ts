// What the specs of the tools have in common.

import { spawn } from '../../js/index.ts'

/** The error that `fn` throws in a greenlet; undefined if none. */
export async function caught(fn: () => unknown): Promise<unknown> {
  try {
    await spawn(fn)
  } catch (error) {
    return error
  }
  return undefined
}

/** The code of the error that `fn` throws here; undefined if none. */
export function codeOf(fn: () => unknown): unknown {
  try {
    fn()
  } catch (error) {
    return (error as { code?: unknown }).code
  }
  return undefined
}
