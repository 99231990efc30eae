/**
 * `describe()`: what a greenlet is and where it is suspended, as text for people: a line about the greenlet, and its stack, in
 * which the internals of Node.js are folded.
 */

import { readFileSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { typeError } from '../common/errors.ts'
import { describe as describeValue } from '../common/values.ts'
import { DEAD, type GreenletRecord } from '../core/record.ts'
import { access } from '../greenlet/access.ts'
import type { Greenlet } from '../greenlet/greenlet.ts'
import { stateOf } from '../greenlet/state.ts'
import type { Frame } from '../stack/frame.ts'
import { type Snapshot, snapshotOf } from '../stack/snapshot.ts'
import { placeOf } from '../stack/source-maps.ts'
import { linesOf } from '../stack/stack.ts'
import { LONGEST_NAME, printable } from '../common/text.ts'
import { Collection } from './collect.ts'
import type { WaitData } from './data.ts'

/** Of a longer stack, this many lines at each end are shown. */
const SHOWN_LINES = 100
const LONGEST_SOURCE_LINE = 160
/** Of a larger file, no line is shown. */
const LONGEST_FILE = 4 * 2 ** 20

/** The functions of the package in which a greenlet is suspended. A minifier may have given them other names. */
const CALLS: ReadonlySet<string> = new Set(['wait', 'sleep', 'join', 'switch', 'throw', 'kill'])

/**
 * Describes a greenlet for people: its name and number, its state, what it waits for and for how long, as far as that is
 * known, and its parent; then its stack as
 * {@link FrameStack.toString} gives it, with the source line of the innermost function of the program, and with the internals of
 * Node.js folded. Control characters are escaped, and what is very long is cut. It reads files, and never throws for a greenlet.
 *
 * @example
 * ```js
 * const g = spawn(function importFile() {
 *   sleep(60_000)
 * })
 * setImmediate(() => {
 *   const [first, ...stack] = describe(g).split('\n')
 *   first.startsWith('greenlet "importFile" #1, suspended') // true
 *   stack[0].startsWith('    at importFile (') // true
 *   g.kill()
 * })
 * await g.catch(() => {})
 * ```
 *
 * @throws TypeError `ERR_GREENLET_INVALID_ARG` if it is not a greenlet of this thread
 */
export function describe(greenlet: Greenlet): string {
  if (!access.isGreenlet(greenlet)) throw typeError(`describe() takes a greenlet, not ${describeValue(greenlet)}`)
  const record = access.recordOf(greenlet)
  let snapshot: Snapshot | undefined
  try {
    snapshot = snapshotOf(record)
    void snapshot?.frames
  } catch {
    // The running stack is nearly full. The rest can be told all the same.
    snapshot = undefined
  }
  const lines = snapshot === undefined ? [] : stackLines(snapshot.frames)
  return [header(record, snapshot), ...shortened(lines)].join('\n')
}

function header(record: GreenletRecord, snapshot: Snapshot | undefined): string {
  const facts = [`greenlet ${label(record)}`]
  const { waits, site } = new Collection({ limit: 1, frames: 0 }).greenlet(record)
  facts.push(record.state === DEAD ? 'dead' : `${stateText(record)}${waitText(waits, snapshot)}`)
  // As `Greenlet.prototype.parent`.
  const parent = record.killer ?? record.parent
  if (parent !== null) facts.push(`parent ${label(parent)}`)
  if (site !== undefined) facts.push(`spawned at ${site}`)
  return facts.join(', ')
}

function label({ name, serial }: GreenletRecord): string {
  return `"${printable(name, LONGEST_NAME)}" #${serial}`
}

function stateText(record: GreenletRecord): string {
  const state = stateOf(record)
  return record.ending !== undefined && state !== 'dead' ? `${state} while it ends` : state
}

/** For how long it has waited, where that is known, in which call, and what for. */
function waitText(waits: WaitData | undefined, snapshot: Snapshot | undefined): string {
  if (waits === undefined) return ''
  const since = waits.since === undefined ? '' : ` ${seconds(waits.since)}`
  if (waits.kind === 'timer') return `${since} in ${waits.text}`
  const call = snapshot?.call ?? null
  const where = call !== null && CALLS.has(call) ? ` in ${call}()` : ''
  return waits.kind === 'switch' ? since + where : `${since}${where}, waits for ${waits.text}`
}

function seconds(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`
}

function stackLines(frames: readonly Frame[]): string[] {
  const texts = linesOf(frames)
  const user = userFrame(frames)
  const lines: string[] = []
  let folded = 0
  const endFold = (): void => {
    if (folded > 0) lines.push(`    ... ${folded} ${folded === 1 ? 'frame' : 'frames'} of node:internal`)
    folded = 0
  }
  for (const [i, { fileName }] of frames.entries()) {
    if (fileName?.startsWith('node:internal/')) {
      folded++
      continue
    }
    endFold()
    lines.push(`    at ${texts[i]}`)
    const source = i === user ? sourceLine(texts[i]!) : undefined
    if (source !== undefined) lines.push(`        > ${source}`)
  }
  endFold()
  return lines
}

/** The innermost function of the program, or else of a package. */
function userFrame(frames: readonly Frame[]): number {
  const hasFile = ({ fileName }: Frame): boolean => fileName !== null && !fileName.startsWith('node:')
  const own = frames.findIndex((frame) => hasFile(frame) && !/[\\/]node_modules[\\/]/.test(frame.fileName!))
  return own === -1 ? frames.findIndex(hasFile) : own
}

/** The line of the source at the place that a frame's text names, as it is in the file now. */
function sourceLine(text: string): string | undefined {
  try {
    const { fileName, lineNumber } = placeOf(text)!
    const path = fileName.startsWith('file:') ? fileURLToPath(fileName) : fileName
    const found = statSync(path)
    if (!found.isFile() || found.size > LONGEST_FILE) return undefined
    const line = readFileSync(path, 'utf8').split(/\r?\n/)[lineNumber - 1]?.trim()
    return line ? printable(line, LONGEST_SOURCE_LINE) : undefined
  } catch {
    // There is no such file: the code was evaluated, or the file is not where the program runs.
    return undefined
  }
}

function shortened(lines: string[]): string[] {
  const more = lines.length - 2 * SHOWN_LINES
  if (more <= 1) return lines
  return [...lines.slice(0, SHOWN_LINES), `    ... ${more} more lines`, ...lines.slice(-SHOWN_LINES)]
}
