// Finds the code blocks of the documents, and of the docstrings of the package. A comment of HTML, which no reader sees, may stand
// beside a block:
//
//   <!-- docs:before      code that runs before that of the block below
//   <!-- docs:after       code that runs after that of the block above
//   <!-- docs:not-run     the reason why the block below is not run
//
// The word `file=NAME` after the language is the name under which the code is kept in the folder of its page, and `exit=1` says that
// the program fails.

import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

export const ROOT = resolve(import.meta.dirname, '../..')

export interface Block {
  /** The path of the document from the root of the repository. */
  readonly document: string
  /** The line of the document on which the code begins, from 1. */
  readonly line: number
  readonly language: string
  readonly attributes: Readonly<Record<string, string>>
  readonly code: string
  readonly before: string
  readonly after: string
  readonly notRun: string | undefined
}

/** The pages that users read. */
export function pages(): string[] {
  const docs = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
  return ['README.md', ...docs.filter((file) => file.endsWith('.md')).map((file) => `docs/${file}`)].toSorted()
}

export function blocksOf(document: string): Block[] {
  return blocksIn(readFileSync(join(ROOT, document), 'utf8'), document)
}

/** A fence, and the comments directly before and after it. Blocks in lists are indented. */
const BLOCK =
  /(?:<!-- docs:(?<first>before|not-run)\s+(?<firstText>(?:(?!-->)[^])*?)\s*-->\s*)?^(?<indent> *)```(?<info>[^\n`]*)\n(?<code>[^]*?)^ *```$(?:\s*<!-- docs:after\s+(?<after>[^]*?)\s*-->)?/gm

export function blocksIn(text: string, document: string): Block[] {
  return [...text.matchAll(BLOCK)].map((match) => {
    const { first, firstText = '', indent = '', info = '', code = '', after = '' } = match.groups!
    const [language = '', ...words] = info.trim().split(/\s+/)
    const begin = match.index + match[0].indexOf('```')
    return {
      document,
      line: text.slice(0, begin).split('\n').length + 1,
      language,
      attributes: Object.fromEntries(words.map((word) => word.split('=') as [string, string])),
      code: code.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
      before: first === 'before' ? firstText : '',
      after,
      notRun: first === 'not-run' ? firstText : undefined,
    }
  })
}

/** The examples in the docstrings of js/: code blocks, and what stands after `@example`. */
export function docstringBlocks(): Block[] {
  const files = readdirSync(join(ROOT, 'js'), { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  )
  return files.toSorted().flatMap((file) => docstringBlocksOf(`js/${file}`))
}

function docstringBlocksOf(document: string): Block[] {
  const source = readFileSync(join(ROOT, document), 'utf8')
  return [...source.matchAll(/\/\*\*\n[^]*?\*\//g)].flatMap(({ 0: comment, index }) => {
    // Without the stars, and with a fence around each example that has none, on lines that already exist.
    const text = comment
      .replaceAll(/^\s*\/?\*+\/?(?: |$)?/gm, '')
      .replaceAll(/@example[^\n]*\n(?!\s*```)([^]*?)(?=\n@|\n*$(?![^]))/g, '```js\n$1\n```')
    const above = source.slice(0, index).split('\n').length - 1
    return blocksIn(text, document).map((block) => ({ ...block, line: block.line + above }))
  })
}
