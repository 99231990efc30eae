/** Finds the native libraries that a suspended stack is inside of, of those that have one call stack for the thread. */

import type { GreenletRecord } from '../core/record.ts'
import { thread } from '../core/thread.ts'
import { setSubject } from '../native/contract.ts'
import { snapshotOf } from './snapshot.ts'

/** The libraries, by the names of their files. */
const FILES: Readonly<Record<string, string>> = { 'koffi.node': 'koffi' }

export interface Libraries {
  readonly libraries: readonly string[]
  /** Where the greenlet was left, as in an error's stack. */
  readonly place: string
}

/** The libraries of a suspended greenlet; none where it is not suspended, and for main. */
export function librariesOf(record: GreenletRecord): Libraries {
  const snapshot = snapshotOf(record)
  if (snapshot === undefined) return { libraries: [], place: '' }
  setSubject(record.index, record.generation)
  const files = Object.keys(FILES).filter((file) => thread.native.isInside(file))
  return { libraries: files.map((file) => FILES[file]!), place: String(snapshot.stack[0] ?? '') }
}
