/**
 * `GREENLETS_WARN_LEAKED=1`: when the thread ends, those greenlets that are still suspended are named on stderr, with their
 * stacks. Their `finally` blocks never run. Nothing of this costs anything before.
 */

import { writeSync } from 'node:fs'
import { snapshotOf } from './frames/snapshot.ts'
import { LIVE, WAITING, main } from './inner.ts'
import { describeLife, here } from './life.ts'
import { living } from './registry.ts'

/** More than these are counted only. */
const MOST = 20
const STDERR = 2

if (process.env['GREENLETS_WARN_LEAKED'] === '1') process.on('exit', tell)

function tell(): void {
  const me = here()
  const left = living().filter(
    (inner) => inner !== main && inner !== me && (inner.life === LIVE || inner.life === WAITING),
  )
  if (left.length === 0) return
  const lines = [`greenlets: left suspended at the end: ${left.length} (GREENLETS_WARN_LEAKED)`]
  for (const inner of left.slice(0, MOST)) {
    lines.push(`'${inner.name}'${describeLife(inner)}`, String(snapshotOf(inner)?.stack ?? ''))
  }
  if (left.length > MOST) lines.push(`... and ${left.length - MOST} more`)
  try {
    // At once: the thread does nothing later any more.
    writeSync(STDERR, `${lines.join('\n')}\n`)
  } catch {
    // Nobody reads it.
  }
}
