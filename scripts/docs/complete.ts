// Compares the pages that list things with the code: every error code, every environment variable, every option of `configure()`,
// and every document in the index.

import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { pages, ROOT } from './blocks.ts'

/** Variables that only the tests of this repository set. */
const FOR_TESTS = new Set(['GREENLETS_FAULT'])

export function checkLists(): string[] {
  const codes = names(read('js/common/errors.ts'), /\| '(ERR_GREENLET_\w+)'/g)
  const options = names(
    /export interface \w*Options \{([^]*?)\n\}/.exec(read('js/native/configure.ts'))![1]!,
    /readonly (\w+)\?/g,
  )
  const sources = [...sourcesOf('js'), ...sourcesOf('crates/napi/src')].map(read).join('\n')
  const variables = names(sources, /\b(GREENLETS_[A-Z_]+|NAPI_RS_NATIVE_LIBRARY_PATH)\b/g)
  for (const name of FOR_TESTS) variables.delete(name)

  const configuration = read('docs/configuration.md')
  const others = pages().filter((page) => page.startsWith('docs/') && page !== 'docs/README.md')
  return [
    ...compare('docs/errors.md', 'error code', codes, names(read('docs/errors.md'), /^### `(\w+)`$/gm)),
    ...compare(
      'docs/semantics.md',
      'error code',
      codes,
      names(read('docs/semantics.md'), /^\| `(ERR_GREENLET_\w+)` +\|/gm),
    ),
    ...compare('docs/configuration.md', 'variable', variables, names(configuration, /^### `([A-Z_]+)`$/gm)),
    ...compare('docs/configuration.md', 'option', options, names(configuration, /^### `configure\(\{ (\w+) \}\)`$/gm)),
    ...compare(
      'docs/README.md',
      'page',
      new Set(others.map((page) => page.slice('docs/'.length))),
      linked('docs/README.md'),
    ),
  ]
}

function compare(page: string, what: string, wanted: ReadonlySet<string>, found: ReadonlySet<string>): string[] {
  if (wanted.size === 0) return [`no ${what} was found to compare ${page} with`]
  return [
    ...[...wanted].filter((name) => !found.has(name)).map((name) => `${page} lacks the ${what} ${name}`),
    ...[...found]
      .filter((name) => !wanted.has(name))
      .map((name) => `${page} has the ${what} ${name}, which does not exist`),
  ]
}

function names(text: string, pattern: RegExp): Set<string> {
  return new Set([...text.matchAll(pattern)].map(([, name]) => name!))
}

/** The documents of docs/ that a page links to. */
function linked(page: string): Set<string> {
  return names(read(page), /\]\(((?!\.\.)[\w/-]+\.md)(?:#[\w-]*)?\)/g)
}

function sourcesOf(folder: string): string[] {
  const files = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
  return files.filter((file) => /\.(?:[cm]?ts|cjs|rs)$/.test(basename(file))).map((file) => `${folder}/${file}`)
}

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}
