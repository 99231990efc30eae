/** A hook for test runners that finds greenlets which a test has left suspended. */

import { Greenlet, GreenletError } from '../engine.ts'
import { describeAll, settle } from './turns.ts'

/** Those that are killed and wait in their cleanup get so many milliseconds. */
const GRACE_MS = 1000

/**
 * Fails if greenlets of the thread are suspended, and tells their names and stacks; it has killed them by then, so that the next test
 * begins without them. It is a hook for what runs after each test: `afterEach(noGreenletsLeft)` in vitest, Jest, mocha and node:test,
 * `test.afterEach.always(noGreenletsLeft)` in ava. Tests of one file that run at the same time would see each other's greenlets: let them
 * run one after the other, or use the hook that runs after all tests.
 *
 * @example
 * ```js
 * const g = new Greenlet(() => Greenlet.main.switch(), { name: 'forgotten' })
 * g.switch()
 * await noGreenletsLeft().catch((error) => error.code) // 'ERR_GREENLET_LEFT'
 * g.dead // true
 * await noGreenletsLeft() // undefined
 * ```
 *
 * @throws GreenletError `ERR_GREENLET_LEFT`
 */
// Without parameters: mocha and Jest would wait for a callback to be called.
export async function noGreenletsLeft(): Promise<void> {
  const { current } = Greenlet
  const left = (await settle()).filter((greenlet) => greenlet !== current)
  if (left.length === 0) return
  const described = describeAll(left)
  await Greenlet.killAll({ grace: GRACE_MS })
  const alive = left.filter(({ dead }) => !dead)
  const were = left.length === 1 ? '1 greenlet was' : `${left.length} greenlets were`
  const end = alive.length === 0 ? 'killed now' : `told to end now, but ${alive.length} of them did not`
  throw new GreenletError(
    'ERR_GREENLET_LEFT',
    `${were} left suspended, and ${end}; let the test wait until they end, or kill them\n${described}`,
  )
}
