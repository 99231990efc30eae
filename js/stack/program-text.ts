/**
 * The text that the program's errors would have for given frames. Node.js and tools such as tsx, ts-node, vitest and Jest map
 * positions to the sources while an error is formatted, by `Error.prepareStackTrace`. So the same function is asked here, and
 * what the tools know of sources in memory is known too.
 */

import { thread } from '../core/thread.ts'
import { addon } from '../native/addon.ts'
import type { CallSite } from './realm.ts'

// The program may replace these later. For the same reason there are loops below where arrays have methods.
const { apply } = Reflect
const exec = Function.prototype.call.bind(RegExp.prototype.exec) as (
  pattern: RegExp,
  text: string,
) => RegExpExecArray | null

/** That of Node.js, which is used where the program has deleted it. */
const nodes = (Error as { prepareStackTrace?: unknown }).prepareStackTrace
const fallback = typeof nodes === 'function' && nodes.name === 'ErrorPrepareStackTrace' ? (nodes as Prepare) : undefined

/** Whether the program's function is being asked. It may read the text of a stack. */
let isAsking = false

type Prepare = (error: Error, sites: CallSite[]) => unknown

/** The lines as `Error.prepareStackTrace` makes them, each after a line feed; undefined where it makes no such text. */
export function textByProgram(sites: CallSite[]): string | undefined {
  const lines = linesOfText(preparedBy(sites))
  let text = ''
  for (let i = 0; i < lines.length; i++) text += `\n    at ${lines[i]}`
  return text === '' ? undefined : text
}

/**
 * A line for each frame, without `    at `. Where the program's function makes no text with one line for each frame, it is
 * asked for one frame at a time, and where that fails too, the line is V8's.
 */
export function linesByProgram(sites: readonly CallSite[]): string[] {
  if (sites.length === 0) return []
  const lines = linesOfText(preparedBy([...sites]))
  return lines.length === sites.length ? lines : sites.map((site) => lineByProgram(site) ?? site.toString())
}

/** The line of one frame; undefined where the program's function makes none. */
export function lineByProgram(site: CallSite): string | undefined {
  const lines = linesOfText(preparedBy([site]))
  return lines.length === 1 ? lines[0] : undefined
}

/** Never throws. */
function preparedBy(sites: CallSite[]): unknown {
  if (isAsking) return undefined
  isAsking = true
  try {
    const prepare = hook()
    return prepare === undefined ? undefined : apply(prepare, thread.realm.Error, [new thread.realm.Error(), sites])
  } catch {
    return undefined
  } finally {
    isAsking = false
  }
}

/** The function of the running realm, or else that of Node's own, as Node.js looks for it. */
function hook(): Prepare | undefined {
  const own = (thread.realm.Error as { prepareStackTrace?: unknown }).prepareStackTrace
  if (typeof own === 'function') return own as Prepare
  const node = addon.nodeRealm?.() as { Error?: { prepareStackTrace?: unknown } } | undefined
  const outer = node?.Error?.prepareStackTrace
  return typeof outer === 'function' ? (outer as Prepare) : fallback
}

function linesOfText(text: unknown): string[] {
  const lines: string[] = []
  if (typeof text !== 'string') return lines
  // Not `\s`, which a line feed is too: a name may have a thousand of them.
  const line = /\n[ \t]+at (.*)/g
  for (let match = exec(line, text); match !== null; match = exec(line, text)) lines[lines.length] = match[1]!
  return lines
}
