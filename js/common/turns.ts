/**
 * The functions that start code in a later turn or job, as they were when the package was loaded. A test runner may replace them by
 * fake ones, which call nothing until the test lets the fake time go on. Only what waits for a time follows that time: `sleep()`, and the
 * timeout of a wait.
 */

import { setImmediate } from 'node:timers'

/** As `setImmediate()` of Node.js. */
export const immediate = setImmediate

/** As `queueMicrotask()`. */
export const microtask = globalThis.queueMicrotask

/** As `process.nextTick()`. */
export const { nextTick } = process
