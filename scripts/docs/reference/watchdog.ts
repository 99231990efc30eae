/**
 * What runs while the event loop is blocked. [Watchdog](../../../docs/watchdog.md) shows it.
 *
 * @module greenlets/watchdog
 */

export { watch } from '../../../js/watchdog/watchdog.ts'
export type { Blocked, BlockedStack, Watchdog, WatchedFrame, WatchOptions } from '../../../js/watchdog/watchdog.ts'
