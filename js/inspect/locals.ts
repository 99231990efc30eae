/**
 * The local variables of suspended greenlets.
 */

import { rangeError, typeError } from '../common/errors.ts'
import { checkOptions } from '../common/options.ts'
import { describe } from '../common/values.ts'
import { checkGreenlet, type Greenlet, placeOf } from '../engine.ts'
import type { DetachedFrame, Frame } from '../stack/frame.ts'
import type { Preview } from './preview.ts'
import { readScopes, type Scope, type ScopeBounds, type Scopes } from './scopes.ts'

/**
 * How much is read. Each is a whole number.
 *
 * @example
 * ```js
 * import { localsOf } from 'greenlets/inspect'
 *
 * const g = new Greenlet(() => Greenlet.main.switch())
 * g.switch()
 * localsOf(g, { limit: 3, depth: 0 }).length // 1
 * ```
 */
export interface LocalsOptions {
  /** Frames, innermost first; for {@link localsOf} only. 50 unless given. */
  readonly limit?: number
  /** Levels of objects in objects: 0 shows only what an object is. 2 unless given. */
  readonly depth?: number
  /** Elements or properties of each object. 20 unless given. */
  readonly items?: number
  /** Characters of each string. 200 unless given. */
  readonly characters?: number
  /** Variables of each scope. 100 unless given. */
  readonly variables?: number
}

/**
 * The variables of a frame, as plain data. It keeps nothing of the program alive, and stays as it is when the greenlet goes on.
 *
 * @example
 * ```js
 * import { locals } from 'greenlets/inspect'
 *
 * const g = new Greenlet(function job(id) {
 *   Greenlet.main.switch()
 *   return id
 * })
 * g.switch(7)
 * const { frame, scopes } = locals(g.gr_frame)
 * frame.functionName // 'job'
 * scopes[0].variables.id // { type: 'number', text: '7', value: 7 }
 * ```
 */
export interface FrameLocals {
  /** The frame that they belong to. */
  readonly frame: DetachedFrame
  /** `this`; null where V8 does not have it, as in a constructor before `super()`. */
  readonly this: Preview | null
  /** Innermost first. Empty for a function of V8, such as `Array.prototype.map`. */
  readonly scopes: readonly Scope[]
}

const KNOWN = ['limit', 'depth', 'items', 'characters', 'variables'] as const
const USUAL: Readonly<Record<(typeof KNOWN)[number], number>> = {
  limit: 50,
  depth: 2,
  items: 20,
  characters: 200,
  variables: 100,
}
const MOST = 1_000_000

/**
 * The local variables, closures and `this` of a frame of a suspended greenlet. The greenlet is not resumed, and no code of the program
 * runs. It takes tens of milliseconds: V8's debugger is on meanwhile. [Locals](../../docs/locals.md) says what it costs and what V8
 * has dropped.
 *
 * @example
 * ```js
 * import { locals } from 'greenlets/inspect'
 *
 * const g = new Greenlet(function job() {
 *   const attempts = 3
 *   return Greenlet.main.switch(attempts)
 * })
 * g.switch()
 * locals(g.gr_frame).scopes[0].variables.attempts.value // 3
 * ```
 *
 * @throws StaleFrameError where the greenlet was resumed since
 * @throws GreenletError `ERR_GREENLET_NO_LOCALS` where a debugger is attached
 * @throws GreenletError `ERR_GREENLET_FORBIDDEN` where the running stack is in a place in which V8 cannot stop
 */
export function locals(frame: Frame, options: Omit<LocalsOptions, 'limit'> = {}): FrameLocals {
  const bounds = boundsOf('locals()', options, KNOWN.slice(1))
  const place = placeOf(frame)
  if (place === undefined) {
    throw typeError(
      `locals() takes a frame of gr_stack, not ${describe(frame)}; the variables of a detached frame are gone`,
    )
  }
  place.source.check()
  return read(place.source, place.level, place.level + 1, bounds)[0]!
}

/**
 * As {@link locals}, of the innermost frames of a suspended greenlet at once; empty where it is not suspended.
 *
 * @example
 * ```js
 * import { localsOf } from 'greenlets/inspect'
 *
 * const inner = (depth) => (depth === 0 ? Greenlet.main.switch() : inner(depth - 1))
 * const g = new Greenlet(() => inner(2))
 * g.switch()
 * localsOf(g, { limit: 2 }).map(({ scopes }) => scopes[0].variables.depth.value) // [ 0, 1 ]
 * ```
 */
export function localsOf(greenlet: Greenlet, options: LocalsOptions = {}): FrameLocals[] {
  const { limit, ...bounds } = boundsOf('localsOf()', options, KNOWN)
  checkGreenlet('localsOf()', greenlet)
  const place = placeOf(greenlet.gr_frame)
  if (place === undefined || limit === 0) return []
  return read(place.source, 0, Math.min(limit, place.source.frames.length), bounds)
}

function boundsOf(
  of: string,
  options: LocalsOptions,
  known: readonly (typeof KNOWN)[number][],
): ScopeBounds & { readonly limit: number } {
  const given = checkOptions<LocalsOptions>(of, options, known)
  const bounds = { ...USUAL }
  for (const key of known) {
    const value = given[key] ?? USUAL[key]
    if (!Number.isInteger(value) || value < 0 || value > MOST) {
      throw rangeError(`the option ${key} of ${of} is a whole number from 0 to ${MOST}, not ${describe(value)}`)
    }
    bounds[key] = value
  }
  return bounds
}

const NOTHING: Scopes = { this: null, scopes: [] }

function read(
  source: NonNullable<ReturnType<typeof placeOf>>['source'],
  from: number,
  to: number,
  bounds: ScopeBounds,
): FrameLocals[] {
  const detached = source.detach()
  return readScopes(source, from, to, bounds).map((found, i) => ({
    frame: detached[from + i]!,
    ...(found ?? NOTHING),
  }))
}
