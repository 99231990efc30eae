/** How the demo prints. */

import { findSourceMap } from 'node:module'
import { dirname, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Frame } from '../js/index.ts'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))

export function heading(text: string): void {
  console.log(`\n# ${text}\n`)
}

/** A line for each frame: where it stands in the source, although what runs was compiled. */
export function lines(frames: readonly Frame[]): string {
  return frames.map((frame) => `    at ${describe(frame)}`).join('\n')
}

function describe(frame: Frame): string {
  // V8's own have no place in a source: `Array.map (<anonymous>)`.
  return frame.isNative ? frame.toString() : `${frame.functionName ?? '<anonymous>'} (${where(frame)})`
}

/** Names, as many as fit into a line. */
export function columns(names: readonly string[]): string {
  const width = Math.max(...names.map((name) => name.length)) + 2
  const perLine = Math.max(1, Math.floor(112 / width))
  const rows = []
  for (let i = 0; i < names.length; i += perLine) {
    const row = names.slice(i, i + perLine).map((name) => name.padEnd(width))
    rows.push(`    ${row.join('').trimEnd()}`)
  }
  return rows.join('\n')
}

/** Whether a frame is in a package, and not in the program. */
export function isForeign(frame: Frame): boolean {
  return frame.fileName?.includes('/node_modules/') === true
}

function where({ fileName, lineNumber, columnNumber }: Frame): string {
  if (fileName === null || lineNumber === null || columnNumber === null) return 'no source'
  const path = fileName.startsWith('file:') ? fileURLToPath(fileName) : fileName
  const entry = findSourceMap(fileName)?.findEntry(lineNumber - 1, columnNumber - 1)
  const [line, column] =
    entry !== undefined && 'originalLine' in entry
      ? [entry.originalLine + 1, entry.originalColumn + 1]
      : [lineNumber, columnNumber]
  return `${relative(ROOT, path)}:${line}:${column}`
}
