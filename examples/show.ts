/** Functions that print the stacks and lists of the demo. */

import { findSourceMap } from 'node:module'
import { dirname, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Frame } from '../js/index.ts'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))

export function heading(text: string): void {
  console.log(`\n# ${text}\n`)
}

/** One line for each frame, with its position in the TypeScript source, not in the compiled code that runs. */
export function stackText(frames: readonly Frame[]): string {
  return frames.map((frame) => `    at ${describe(frame)}`).join('\n')
}

function describe(frame: Frame): string {
  // Functions of V8 have no position in a source: `Array.map (<anonymous>)`.
  return frame.isNative ? frame.toString() : `${frame.functionName ?? '<anonymous>'} (${where(frame)})`
}

/** The names in columns, as many as fit into a line. */
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

/** Whether a frame is in an npm package, and not in the program. */
export function isInPackage(frame: Frame): boolean {
  return frame.fileName?.includes('/node_modules/') === true
}

/** Whether a frame is in one of these examples. */
export function isInExamples(frame: Frame): boolean {
  return frame.fileName?.startsWith(new URL('.', import.meta.url).href) === true
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
