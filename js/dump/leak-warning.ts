/**
 * `GREENLETS_WARN_LEAKED=1`: when the thread ends, prints the greenlets that are still suspended to stderr, with their
 * stacks. Their `finally` blocks never run. Until then it costs nothing.
 */

import { writeSync } from 'node:fs'
import { quoted } from '../common/text.ts'
import { describeState, finishEnded } from '../core/lifecycle.ts'
import { LIVE, WAITING } from '../core/record.ts'
import { registeredRecords } from '../core/registry.ts'
import { main, thread } from '../core/thread.ts'
import { refusal } from '../native/copies.ts'
import { snapshotOf } from '../stack/snapshot.ts'
import { isSet } from './variables.ts'

/** Greenlets beyond this number are counted and not printed. */
const MOST = 20
const STDERR = 2

if (isSet('GREENLETS_WARN_LEAKED')) process.on('exit', printLeaked)

function printLeaked(): void {
  if (refusal() !== undefined) return
  finishEnded()
  const leaked = registeredRecords().filter(
    (record) => record !== main && record !== thread.current && (record.state === LIVE || record.state === WAITING),
  )
  if (leaked.length === 0) return
  const lines = [`greenlets: left suspended at the end: ${leaked.length} (GREENLETS_WARN_LEAKED)`]
  for (const record of leaked.slice(0, MOST)) {
    lines.push(`${quoted(record.name)}${describeState(record)}`, String(snapshotOf(record)?.stack ?? ''))
  }
  if (leaked.length > MOST) lines.push(`... and ${leaked.length - MOST} more`)
  try {
    // Synchronously, because the thread runs nothing after this.
    writeSync(STDERR, `${lines.join('\n')}\n`)
  } catch {
    // Stderr is closed.
  }
}
