/**
 * Which frames are this package's own. They lie at both ends of every suspended stack (what called native, and what
 * started `run`) and are left out of snapshots.
 */

import type { CallSite } from './realm.ts'

/** The folder of the package's modules, with a slash. */
const ROOM = new URL('..', import.meta.url).href

/** By name, and not by the folder alone: the frames of an adapter, in the same folder, are part of what a user looks for. */
const NAMES: ReadonlySet<string | null> = new Set([
  'transfer',
  'transferError',
  'launch',
  'deliver',
  'prepare',
  'leave',
  'begin',
  'entry',
  'switch',
  'throw',
  'kill',
  '[Symbol.dispose]',
  'block',
  'wake',
  'wait',
  'sleep',
  'runSpawned',
])

/** Whether a frame at an end of a stack is not the user's. */
export function isInternal(site: CallSite): boolean {
  return NAMES.has(site.getFunctionName()) && site.getFileName()?.startsWith(ROOM) === true
}
