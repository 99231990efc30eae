/**
 * `greenlets/fibers`: the API of node-fibers 5, for programs and packages that were written for it.
 *
 * ```js
 * import Fiber from 'greenlets/fibers'
 * ```
 *
 * `@greenlets/fibers` has it under the names of node-fibers: `require('fibers')` and `require('fibers/future')`.
 */

import { fibers } from '../engine.ts'
import type { Greenlet } from '../greenlet/greenlet.ts'
import type * as types from './types.ts'

export type { Fiber as FiberInstance, FiberConstructor } from './types.ts'
export type Fiber = types.Fiber

/**
 * Makes a fiber, with or without `new`. `Fiber.yield()`, `Fiber.current` and the other members are in {@link FiberConstructor}.
 *
 * @example
 * ```js
 * const fiber = Fiber(() => [1, 2].map((x) => Fiber.yield(x)))
 * fiber.run() // 1
 * fiber.run('a') // 2
 * fiber.run('b') // [ 'a', 'b' ]
 * ```
 */
export const Fiber: types.FiberConstructor = fibers.Fiber

/**
 * The greenlet in which a fiber runs, for `gr_stack` and the tools of greenlets; undefined before the start and after the
 * end. Each start is another greenlet.
 *
 * @example
 * ```js
 * const fiber = Fiber(function work() {
 *   Fiber.yield()
 * })
 * fiber.run()
 * greenletOf(fiber).gr_frame.functionName // 'work'
 * ```
 *
 * @throws TypeError `ERR_GREENLET_INVALID_ARG` where it is not a fiber
 */
export function greenletOf(fiber: types.Fiber): Greenlet | undefined {
  return fibers.greenletOf(fiber)
}

export { Fiber as default }

// Some packages look for it. Only one copy of node-fibers can be in a thread, and this says that there is one.
const shared = process as { fiberLib?: types.FiberConstructor }
shared.fiberLib ??= Fiber
