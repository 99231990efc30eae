// Finds dead links among the documents: files that do not exist, and headings that do not exist.

import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { pages, ROOT } from './blocks.ts'

const OTHERS = ['ARCHITECTURE.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'crates/core/README.md', 'SECURITY.md']

export interface Links {
  readonly checked: number
  readonly problems: readonly string[]
}

export function checkLinks(): Links {
  const documents = [...pages(), ...OTHERS.filter((file) => existsSync(join(ROOT, file)))]
  const links = documents.flatMap((document) => linksOf(document).map((link) => ({ document, link })))
  const problems = links.flatMap(({ document, link }) => {
    const problem = problemOf(document, link)
    return problem === undefined ? [] : [`${document}: the link ${link}: ${problem}`]
  })
  return { checked: links.length, problems }
}

/** The links within the repository. */
function linksOf(document: string): string[] {
  const text = withoutCode(readFileSync(join(ROOT, document), 'utf8'))
  const inline = [...text.matchAll(/\]\(([^)\s]+)\)/g)]
  const reference = [...text.matchAll(/^\[[^\]^]+\]: (\S+)$/gm)]
  return [...inline, ...reference].map(([, link]) => link!).filter((link) => !/^[a-z]+:/.test(link))
}

function problemOf(document: string, link: string): string | undefined {
  const [path = '', heading] = link.split('#')
  const file = path === '' ? document : normalize(join(dirname(document), path))
  if (!existsSync(join(ROOT, file))) return 'there is no such file'
  if (heading === undefined) return undefined
  if (statSync(join(ROOT, file)).isDirectory() || !file.endsWith('.md')) return 'only documents have headings'
  return headingsOf(file).has(heading) ? undefined : 'there is no such heading'
}

/** The anchors that GitHub makes of the headings. */
export function headingsOf(file: string): Set<string> {
  const text = withoutCode(readFileSync(join(ROOT, file), 'utf8'), false)
  const anchors = new Set<string>()
  for (const [, heading] of text.matchAll(/^#+ +(.+)$/gm)) {
    const plain = heading!.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    const base = plain
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-')
    let anchor = base
    for (let number = 1; anchors.has(anchor); number++) anchor = `${base}-${number}`
    anchors.add(anchor)
  }
  return anchors
}

function withoutCode(text: string, spansToo = true): string {
  const withoutBlocks = text.replaceAll(/^ *```[^]*?^ *```/gm, '')
  return spansToo ? withoutBlocks.replaceAll(/`[^`\n]*`/g, '') : withoutBlocks
}
