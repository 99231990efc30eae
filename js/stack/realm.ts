/**
 * The private realm in which native makes the errors that carry a captured stack. Its `Error` has settings of its own,
 * and Node.js asks the realm of an error first. So the program's `Error.stackTraceLimit` and `prepareStackTrace` are
 * neither used nor changed, and reading `stack` gives the frames themselves.
 */

import { createContext, runInContext } from 'node:vm'
import type { Native } from '../native/contract.ts'

// The program may replace it later.
const { isArray } = Array

/** What V8 tells about one frame; see https://v8.dev/docs/stack-trace-api. */
export interface CallSite {
  getFunctionName(): string | null
  getMethodName(): string | null
  getTypeName(): string | null
  getFileName(): string | null | undefined
  getLineNumber(): number | null
  getColumnNumber(): number | null
  getPosition(): number
  /** The hash of the script's text; '' where there is no script. V8 takes it once for each script. */
  getScriptHash(): string
  getScriptNameOrSourceURL(): string | null | undefined
  isNative(): boolean
  isToplevel(): boolean
  isConstructor(): boolean
  isAsync(): boolean
  isEval(): boolean
  getEvalOrigin(): string | undefined
  toString(): string
}

// The limit is more than a stack can hold. It is not Infinity, because that crashes Node 26 when it runs with
// --trace-uncaught ("Check failed: new_capacity > 0" in Isolate::CaptureAndSetErrorStack, V8 14.6).
const SETUP = `
Error.stackTraceLimit = 1e6
Error.prepareStackTrace = (error, sites) => sites
;(() => new Error())`

/**
 * Where V8 makes `stack` an accessor (Node.js 22 and newer): its getter, of the program's realm. V8 makes the call sites in the
 * realm of the getter, and their methods look a primitive receiver's method up in that realm: `getMethodName()` in `'a'.replace()`
 * must find the program's `String.prototype`.
 */
export const getStack = Object.getOwnPropertyDescriptor(new Error('for its getter'), 'stack')?.get

/**
 * The call sites that an error of the private realm carries; undefined where V8 could not make them, because the running stack is
 * nearly full.
 */
export function sitesOf(native: Native, error: Error): CallSite[] | undefined {
  const sites = arrayOfSites(native, error)
  if (sites === undefined) return undefined
  // Not by a spread: the program may have replaced the iterator.
  const copy: CallSite[] = []
  for (let i = 0; i < sites.length; i++) copy[i] = sites[i]!
  return copy
}

/** The same, as an array of the private realm: only its elements and its length may be read. */
export function arrayOfSites(native: Native, error: Error): ArrayLike<CallSite> | undefined {
  const sites = native.sites(error, getStack)
  return isArray(sites) ? (sites as CallSite[]) : undefined
}

/** Makes the realm, which takes about a millisecond, and returns a function of it, which makes an error there. */
export function makeRealm(): () => Error {
  return runInContext(SETUP, createContext({}, { name: 'greenlets' })) as () => Error
}
