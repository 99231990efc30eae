/**
 * For tests of code that greenlets run. [Testing](../../../docs/testing.md) has an example of each.
 *
 * @module greenlets/testing
 */

export { matchers, noGreenletsLeft, parkedAt, settle, stackText, untilParked } from '../../../js/testing/index.ts'
export type {
  FrameName,
  GreenletMatchers,
  MatcherResult,
  ParkedAtOptions,
  SettleOptions,
  StackTextOptions,
  UntilParkedOptions,
} from '../../../js/testing/index.ts'
