/** The formats of dumps. */

import type { DumpData } from './data.ts'
import { htmlOf } from './html.ts'
import { jsonOf } from './json.ts'
import { listOf, textOf, treeOf } from './text.ts'

/**
 * How a dump is printed: `'text'`, all stacks, equal ones once; `'tree'`, by parent; `'spawners'`, by the greenlet that has made each
 * one; `'list'`, a table; `'json'`; `'html'`, a page in one file.
 *
 * @example
 * ```js
 * import { dump } from 'greenlets/dump'
 * dump({ format: 'tree' }).includes("'main' (#0) running") // true
 * ```
 */
export type DumpFormat = 'text' | 'tree' | 'spawners' | 'list' | 'json' | 'html'

export const FORMATS: readonly DumpFormat[] = ['text', 'tree', 'spawners', 'list', 'json', 'html']

const PRINTERS: Readonly<Record<DumpFormat, (data: DumpData) => string>> = {
  text: textOf,
  tree: treeOf,
  spawners: (data) => treeOf(data, 'spawner'),
  list: listOf,
  json: (data) => `${jsonOf(data)}\n`,
  html: htmlOf,
}

/** Prints the data of a dump. */
export function print(data: DumpData, format: DumpFormat): string {
  return PRINTERS[format](data)
}
