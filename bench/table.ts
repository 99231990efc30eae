/** Puts the table of `results/latest.json` into docs/performance.md, between its two markers. */

import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { readResults } from './results.ts'
import { markdown } from './tables.ts'

const PAGE = resolve(import.meta.dirname, '../docs/performance.md')
const MARKERS = /(?<=<!-- bench:start -->\n).*?(?=<!-- bench:end -->)/s

const page = readFileSync(PAGE, 'utf8')
if (!MARKERS.test(page))
  throw new Error('docs/performance.md has no lines <!-- bench:start --> and <!-- bench:end -->; add them')
writeFileSync(
  PAGE,
  page.replace(MARKERS, () => `\n${markdown(readResults())}\n\n`),
)
