/**
 * Tells the package's own frames from those of the program. Own frames lie at both ends of every suspended stack (the
 * functions that called native, and those that called `run`) and are left out of snapshots.
 *
 * A frame is the package's own if it is in a region of code that a module of the package has noted (`common/own-code.ts`):
 * the script has the same name and the same text, and the position is between the marks. The adapters note no regions,
 * because users want to see the adapters' frames.
 */

import { ownCode } from '../common/own-code.ts'
import type { Native } from '../native/contract.ts'
import { type CallSite, sitesOf } from './realm.ts'

/**
 * The script of the function that inspect/scopes.ts calls above a suspended stack. Meanwhile the frames further out, as V8 sees them, are
 * those of that stack, and not the running one's.
 */
export const PAUSE_SCRIPT = 'greenlets:pause'

/** A part of a script. Positions are as V8 counts them. */
interface Region {
  readonly script: string | null | undefined
  readonly hash: string
  readonly start: number
  readonly end: number
}

const regions: Region[] = []

/**
 * Finds the regions. `makeError` is a function of the private realm.
 *
 * @throws RangeError where the running stack is nearly full; the next call goes on
 */
export function findOwnCode(native: Native, makeError: () => Error): void {
  for (const [first, last] of ownCode().slice(regions.length)) {
    // The innermost frame is `makeError` itself, the next one is the mark.
    const [start, end] = [first, last].map((mark) => sitesOf(native, mark(makeError))?.[1])
    if (start === undefined || end === undefined) throw new RangeError('the running stack is nearly full')
    regions.push({
      script: start.getScriptNameOrSourceURL(),
      hash: start.getScriptHash(),
      start: start.getPosition(),
      end: end.getPosition(),
    })
  }
}

/** Whether a frame at an end of a stack is the package's own. */
export function isOwnFrame(site: CallSite): boolean {
  const script = site.getScriptNameOrSourceURL()
  // V8 counts the position from the beginning of the function's table, so it is asked for last but one.
  let position: number | undefined
  // Not by a method of arrays: the program may have replaced it.
  for (let i = 0; i < regions.length; i++) {
    const region = regions[i]!
    if (region.script !== script) continue
    position ??= site.getPosition()
    if (position < region.start || region.end < position) continue
    // The hash is read last: V8 takes it from the whole text, once for each script.
    if (region.hash === site.getScriptHash()) return true
  }
  return false
}
