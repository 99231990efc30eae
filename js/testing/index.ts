/**
 * For tests: where greenlets are parked, waiting until they are, text of stacks for snapshots, and a hook that finds what a test
 * has left suspended.
 */

export { noGreenletsLeft } from './left.ts'
export { type GreenletMatchers, type MatcherResult, matchers } from './matchers.ts'
export { type FrameName, parkedAt, type ParkedAtOptions } from './parked-at.ts'
export { stackText, type StackTextOptions } from './stack-text.ts'
export { settle, type SettleOptions, untilParked, type UntilParkedOptions } from './turns.ts'
