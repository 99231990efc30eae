/** Puts the table of `results/latest.json` into the README, between its two markers. */

import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { readResults } from './results.ts'
import { markdown } from './tables.ts'

const README = resolve(import.meta.dirname, '../README.md')
const MARKERS = /(?<=<!-- bench:start -->\n).*?(?=<!-- bench:end -->)/s

const readme = readFileSync(README, 'utf8')
if (!MARKERS.test(readme))
  throw new Error('README.md has no lines <!-- bench:start --> and <!-- bench:end -->; add them')
writeFileSync(
  README,
  readme.replace(MARKERS, () => `\n${markdown(readResults())}\n\n`),
)
