/**
 * Tells the package's own frames from those of the program. Own frames lie at both ends of every suspended stack (the
 * functions that called native, and those that called `run`) and are left out of snapshots.
 *
 * A frame is the package's own if its file is in one of the rooms below, whatever the function is called. The adapters
 * are not among them: their frames are part of what a user looks for in a stack.
 */

import type { CallSite } from './realm.ts'

const ROOMS = ['common', 'native', 'core', 'stack', 'greenlet', 'hub']

/**
 * The folder of the rooms, as a URL that ends with a slash; undefined where a bundler has moved this file out of its
 * room.
 */
const ROOT = /^.*\/(?=stack\/own-frames\.[jt]s$)/.exec(import.meta.url)?.[0]

const FOLDERS = ROOT === undefined ? [] : ROOMS.map((room) => `${ROOT}${room}/`)

/** Whether a frame at an end of a stack is the package's own. */
export function isOwnFrame(site: CallSite): boolean {
  const file = site.getFileName()
  return file !== null && file !== undefined && FOLDERS.some((folder) => file.startsWith(folder))
}
