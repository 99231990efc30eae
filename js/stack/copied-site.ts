/**
 * What V8 told about a frame, copied: for detached frames. It keeps neither the function nor its receiver alive. Functions that
 * format errors take it for a CallSite of V8.
 */

import type { CallSite } from './realm.ts'

/** The methods that are copied; their results are strings, numbers, booleans and null. */
const METHODS = [
  'getFunctionName',
  'getMethodName',
  'getTypeName',
  'getFileName',
  'getLineNumber',
  'getColumnNumber',
  'getPosition',
  'getScriptHash',
  'getScriptNameOrSourceURL',
  'getEvalOrigin',
  'getEnclosingLineNumber',
  'getEnclosingColumnNumber',
  'getPromiseIndex',
  'isNative',
  'isToplevel',
  'isConstructor',
  'isAsync',
  'isEval',
  'isPromiseAll',
  'toString',
] as const

// oxlint-disable-next-line no-unsafe-declaration-merging -- the methods are made from the list
export interface CopiedSite extends CallSite {}

// oxlint-disable-next-line no-unsafe-declaration-merging -- the methods are made from the list
export class CopiedSite {
  readonly #values: readonly unknown[]

  constructor(site: CallSite) {
    const source = site as unknown as Record<string, (() => unknown) | undefined>
    this.#values = METHODS.map((name) => source[name]?.())
  }

  static {
    for (const [i, name] of METHODS.entries()) {
      Object.defineProperty(this.prototype, name, {
        configurable: true,
        value(this: CopiedSite) {
          return this.#values[i]
        },
      })
    }
  }

  /** As V8 answers for strict functions. */
  getThis(): undefined {}

  /** As {@link getThis}. */
  getFunction(): undefined {}
}
