/** Matchers for the `expect` of vitest and Jest. */

import { describe as describeValue } from '../common/values.ts'
import { quoted } from '../common/text.ts'
import { describe, isGreenlet } from '../engine.ts'
import { checkGaps, checkNames, type FrameName, isParkedAt, nameList, type ParkedAtOptions } from './parked-at.ts'

/**
 * What a matcher gives to `expect`.
 *
 * @example
 * ```js
 * const { pass } = matchers.toBeParkedAt(new Greenlet(() => {}), ['job'])
 * pass // false
 * ```
 */
export interface MatcherResult {
  /** Whether the greenlet is parked there. */
  readonly pass: boolean
  /** What to print where that is not what the test expects. */
  readonly message: () => string
}

/**
 * The types of {@link matchers}. A declaration in the project's own types tells the compiler that `expect` has them; for vitest:
 *
 * ```ts
 * import type { GreenletMatchers } from 'greenlets/testing'
 *
 * declare module 'vitest' {
 *   // Of vitest 5. For vitest 4, write T in place of R.
 *   interface Matchers<R> extends GreenletMatchers<R> {}
 * }
 * ```
 *
 * @example
 * ```js
 * const { toBeParkedAt } = matchers
 * toBeParkedAt(Greenlet.main, ['job']).pass // false
 * ```
 */
export interface GreenletMatchers<R = unknown> {
  /** As `parkedAt()`. Where it fails, the message has the greenlet's stack. */
  toBeParkedAt(names: readonly FrameName[], options?: ParkedAtOptions): R
}

/**
 * For `expect.extend(matchers)` in vitest and Jest: `expect(greenlet).toBeParkedAt(['acquire', 'withLock'])`.
 *
 * @example
 * ```js
 * const g = new Greenlet(function job() {
 *   Greenlet.main.switch()
 * })
 * g.switch()
 * matchers.toBeParkedAt(g, ['job']).pass // true
 * ```
 */
export const matchers = {
  /** See {@link GreenletMatchers.toBeParkedAt}. */
  toBeParkedAt(received: unknown, names: readonly FrameName[], options?: ParkedAtOptions): MatcherResult {
    const of = 'toBeParkedAt()'
    const patterns = checkNames(of, names)
    const wanted = nameList(patterns)
    const gaps = checkGaps(of, options)
    if (!isGreenlet(received)) {
      return {
        pass: false,
        message: () => `expected a greenlet that is parked at ${wanted}, not ${describeValue(received)}`,
      }
    }
    const pass = isParkedAt(received, patterns, gaps)
    const text = describe(received)
    return {
      pass,
      message: () =>
        `expected greenlet ${quoted(received.name)} ${pass ? 'not ' : ''}to be parked at ${wanted}:\n${text}`,
    }
  },
}
