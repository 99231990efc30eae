/**
 * `recordOrigins()`: while it is on, each new greenlet keeps which greenlet has made it and where, and each wait keeps since
 * when. While it is off, a new greenlet and a wait cost one comparison more.
 */

import { createContext, runInContext } from 'node:vm'
import { typeError } from '../common/errors.ts'
import { describe } from '../common/values.ts'
import type { GreenletRecord, Origin } from '../core/record.ts'
import { thread } from '../core/thread.ts'
import { type CallSite, sitesOf } from '../stack/realm.ts'
import { refuseSecondCopy } from '../native/copies.ts'
import { tellOfNew } from './creations.ts'
import { isOwn } from './own.ts'
import { clean, MOST_OF_LINE } from './safe.ts'
import { isSet } from './variables.ts'

/** So many frames are enough to reach the caller of `spawn()`, also through the tools. Each takes 0.2 microseconds. */
const SETUP = `
Error.stackTraceLimit = 13
Error.prepareStackTrace = (error, sites) => sites
;(() => new Error())`

/**
 * Capturing frames takes 3 to 10 microseconds, half of it however few they are. So not each greenlet of a program with many of them gets
 * a site (bench/dumps.ts measures it).
 */
const SITES_AT_FIRST = 1000
const SITE_OF_EACH = 16

/** An error of a realm with few frames. Made when it is first needed. */
const state = { capture: undefined as (() => Error) | undefined, count: 0 }

/** See dump.ts. */
export function recordOrigins(on: unknown = true): void {
  refuseSecondCopy()
  if (typeof on !== 'boolean') throw typeError(`recordOrigins() takes true or false, not ${describe(on)}`)
  tellOfNew(noteOrigin, on)
  if (!on) {
    thread.clock = undefined
    return
  }
  state.capture ??= runInContext(SETUP, createContext({}, { name: 'greenlets' })) as () => Error
  state.count = 0
  // Of this realm: a test runner may replace it by a fake one.
  const { performance } = globalThis
  thread.clock = () => performance.now()
}

function noteOrigin(record: GreenletRecord): void {
  const { current } = thread
  const hasSite = state.count++ < SITES_AT_FIRST || state.count % SITE_OF_EACH === 0
  record.origin = { id: current.serial, name: current.name, frames: hasSite ? state.capture!() : undefined }
}

if (isSet('GREENLETS_RECORD')) recordOrigins()

/** Where a greenlet was made, as `file:line:column`; undefined where that was not recorded, or is in no file. */
export function siteOf(record: GreenletRecord): string | undefined {
  const { origin } = record
  if (origin === undefined) return undefined
  return (siteTexts.get(origin) ?? readSite(origin)) || undefined
}

/** What was read once. */
const siteTexts = new WeakMap<Origin, string>()

function readSite(origin: Origin): string {
  const sites = origin.frames === undefined ? undefined : sitesOf(thread.native, origin.frames)
  const site = sites?.find((each, i) => i > 0 && isOfProgram(each))
  const file = site?.getScriptNameOrSourceURL()
  const text = site === undefined || !file ? '' : `${file}:${site.getLineNumber()}:${site.getColumnNumber()}`
  const cleaned = clean(text, MOST_OF_LINE)
  siteTexts.set(origin, cleaned)
  return cleaned
}

/** Whether it is neither in the package, except for the adapters, nor in Node.js. */
function isOfProgram(site: CallSite): boolean {
  const file = site.getScriptNameOrSourceURL()
  if (!file || site.isNative() || file.startsWith('node:')) return false
  return !isOwn(file)
}
