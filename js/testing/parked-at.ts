/** Whether a greenlet is suspended in functions with given names. */

import { isRegExp } from 'node:util/types'
import { typeError } from '../common/errors.ts'
import { checkOptions } from '../common/options.ts'
import { describe, isRevoked } from '../common/values.ts'
import { checkGreenlet, type Greenlet } from '../engine.ts'
import type { FrameData } from '../stack/frame.ts'

/**
 * The name of a function in a stack: a string as in `Array.map`, `Job.acquire` or `acquire`, or a pattern. A function without a name
 * is `<anonymous>`.
 *
 * @example
 * ```js
 * const names = ['acquire', /^with/, '<anonymous>'] // three of them
 * ```
 */
export type FrameName = string | RegExp

/**
 * The options of {@link parkedAt}.
 *
 * @example
 * ```js
 * const lock = () => Greenlet.main.switch()
 * const g = new Greenlet(function job() {
 *   ;[1].map(lock)
 * })
 * g.switch()
 * parkedAt(g, ['lock', 'job']) // true
 * parkedAt(g, ['lock', 'job'], { gaps: false }) // false
 * ```
 */
export interface ParkedAtOptions {
  /**
   * Whether other frames may lie before and between the named ones. Default: true. If false, the first name is that of the innermost
   * frame, and the next ones are those of its callers.
   */
  readonly gaps?: boolean | undefined
}

/**
 * Whether a greenlet is suspended in these functions, the innermost first. False where it is not suspended.
 *
 * @example
 * ```js
 * const acquire = () => Greenlet.main.switch()
 * const withLock = (fn) => fn(acquire())
 * const g = new Greenlet(withLock)
 * g.switch(() => 'done')
 * parkedAt(g, ['acquire', 'withLock']) // true
 * parkedAt(g, ['withLock', 'acquire']) // false
 * parkedAt(g, [/^with/]) // true
 * ```
 *
 * @throws TypeError `ERR_GREENLET_INVALID_ARG`
 */
export function parkedAt(greenlet: Greenlet, names: readonly FrameName[], options?: ParkedAtOptions): boolean {
  checkGreenlet('parkedAt()', greenlet)
  return isParkedAt(greenlet, checkNames('parkedAt()', names), checkGaps('parkedAt()', options))
}

/** As {@link parkedAt}, with arguments that were checked. */
export function isParkedAt(greenlet: Greenlet, names: readonly FrameName[], gaps: boolean): boolean {
  if (greenlet.state !== 'suspended') return false
  let next = 0
  for (const frame of greenlet.gr_stack) {
    if (next === names.length) break
    if (matches(frame, names[next]!)) next++
    else if (!gaps) return false
  }
  return next === names.length
}

/** The names that a frame has: `acquire` and `Job.acquire`. V8 adds `get` to the name of a getter on some versions. */
export function namesOf({ functionName, typeName }: FrameData): string[] {
  const name = functionName?.replace(/^(?:get|set|async) /, '') ?? '<anonymous>'
  return typeName === null || functionName === null ? [name] : [name, `${typeName}.${name}`]
}

function matches(frame: FrameData, name: FrameName): boolean {
  return namesOf(frame).some((own) => {
    if (typeof name === 'string') return own === name
    // A global or sticky one would begin where its last match has ended.
    name.lastIndex = 0
    return name.test(own)
  })
}

export function checkNames(of: string, names: unknown): readonly FrameName[] {
  if (isRevoked(names) || !Array.isArray(names))
    throw typeError(`${of} takes an array of names and patterns, not ${describe(names)}`)
  return Array.from(names as unknown[], (name) => {
    if (typeof name === 'string') return name
    // A copy, for the program's may be frozen.
    if (isRegExp(name)) return new RegExp(name.source, name.flags)
    throw typeError(`a frame is named by a string or a RegExp in ${of}, not by ${describe(name)}`)
  })
}

export function checkGaps(of: string, options: unknown): boolean {
  if (options === undefined) return true
  const { gaps } = checkOptions<ParkedAtOptions>(of, options, ['gaps'])
  if (gaps !== undefined && typeof gaps !== 'boolean')
    throw typeError(`gaps of ${of} is a boolean, not ${describe(gaps)}`)
  return gaps ?? true
}

/** The names as an array in a program. */
export function nameList(names: readonly FrameName[]): string {
  return `[${names.map((name) => (typeof name === 'string' ? `'${name}'` : String(name))).join(', ')}]`
}
