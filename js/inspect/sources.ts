/** Lines of the files that parked stacks name, for the page. No other file is read. */

import { readFile, stat } from 'node:fs/promises'
import { isAbsolute } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { SourceLines } from './feed.ts'

const BEFORE = 6
const AFTER = 6
const LONGEST_LINE = 400
/** Of a larger file, no lines are shown. */
const LONGEST_FILE = 16 * 2 ** 20

/** Throws where the file cannot be read or has no such line. */
export async function readSource(file: string, line: number): Promise<SourceLines> {
  const path = file.startsWith('file:') ? fileURLToPath(file) : file
  if (!isAbsolute(path)) throw new Error('it is not a file')
  // A frame can name anything. Reading a pipe or a device may never end.
  const found = await stat(path)
  if (!found.isFile() || found.size > LONGEST_FILE) throw new Error('it is not a file, or too large')
  const lines = (await readFile(path, 'utf8')).split(/\r?\n/)
  if (line > lines.length) throw new Error(`the file has ${lines.length} lines; it has changed since`)
  const first = Math.max(1, line - BEFORE)
  return { first, lines: lines.slice(first - 1, line + AFTER).map((text) => text.slice(0, LONGEST_LINE)) }
}
