// Loads the built package with the binary of the working tree, and has the helpers of the torture programs.

import { fileURLToPath } from 'node:url'

process.env.NAPI_RS_NATIVE_LIBRARY_PATH ??= fileURLToPath(
  new URL('../../../js/native/greenlets.linux-x64-gnu.node', import.meta.url),
)

export const greenlets = await import('../../../dist/index.js')

/** Throws unless `holds`. */
export function check(holds, what) {
  if (!holds) throw new Error(`not as it must be: ${what}`)
}

/** Pseudo-random numbers that are the same in every run: mulberry32. */
export function random(seed) {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

/** Fills young space. After a few calls, objects that neither this stack nor a parked stack reaches are gone. */
export function litter(count) {
  const kept = []
  for (let i = 0; i < count; i++) {
    const piece = { i, text: `piece ${i}`, list: [i, { i }] }
    if (i % 64 === 0) kept.push(piece)
  }
  return kept.length
}

/** Runs collections of both kinds, if the program was started with --expose-gc. */
export function collect(full = true) {
  if (globalThis.gc === undefined) return
  globalThis.gc({ type: 'minor' })
  if (full) globalThis.gc()
}

/** True if the program must do less: under a jitless V8, or one that collects all the time. */
export const SLOW = process.execArgv.some((flag) =>
  /jitless|stress|gc-interval|deopt|max-lazy|single-thread/.test(flag),
)
