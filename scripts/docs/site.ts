// Builds the site of all documents with the API reference, by typedoc, into target/site, and checks it: it has every export of the
// package, and each link leads to a file and a heading that exist, so that the site works when it is opened from files. Run by
// `make docs`, which fails on warnings of typedoc too.

import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import ts from 'typescript'
import { ROOT } from './blocks.ts'

const SITE = join(ROOT, 'target/site')
const TYPEDOC = join(ROOT, 'node_modules/typedoc/bin/typedoc')

rmSync(SITE, { recursive: true, force: true })
const problems = [
  ...missingExports('js/index.ts', 'scripts/docs/reference/greenlets.ts'),
  ...missingExports('js/tools/index.ts', 'scripts/docs/reference/tools.ts'),
  ...missingExports('js/testing/index.ts', 'scripts/docs/reference/testing.ts'),
  ...missingExports('js/dump.ts', 'scripts/docs/reference/dump.ts'),
  ...missingExports('js/inspect/index.ts', 'scripts/docs/reference/inspect.ts'),
  ...missingExports('js/fibers/index.ts', 'scripts/docs/reference/fibers.ts'),
  ...missingExports('js/fibers/future.ts', 'scripts/docs/reference/future.ts'),
  ...missingExports('js/watchdog/watchdog.ts', 'scripts/docs/reference/watchdog.ts'),
  ...['express', 'fastify', 'h3', 'hono', 'http', 'koa'].flatMap((name) =>
    missingExports(`js/adapters/${name}.ts`, `scripts/docs/reference/${name}.ts`),
  ),
]
try {
  execFileSync(process.execPath, [TYPEDOC, '--logLevel', 'Warn'], {
    cwd: ROOT,
    stdio: 'inherit',
  })
} catch {
  problems.push('typedoc failed')
}
if (existsSync(SITE)) {
  nameStartPage()
  problems.push(...deadLinks())
}
for (const problem of problems) console.error(problem)
if (problems.length > 0) process.exitCode = 1
else console.log(`${relative(process.cwd(), join(SITE, 'index.html'))}: every link leads somewhere`)

/** The reference is made from another file than the one that users import, so their lists of exports must agree. */
function missingExports(exported: string, shown: string): string[] {
  const files = [exported, shown].map((file) => join(ROOT, file))
  const options = {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    allowImportingTsExtensions: true,
    noEmit: true,
  }
  const program = ts.createProgram(files, options)
  const checker = program.getTypeChecker()
  const [wanted = [], found = []] = files.map((file) => {
    const symbol = checker.getSymbolAtLocation(program.getSourceFile(file)!)
    return checker.getExportsOfModule(symbol!).map(({ name }) => name)
  })
  if (wanted.length === 0) return [`${exported} exports nothing`]
  return [
    ...wanted
      .filter((name) => !found.includes(name))
      .map((name) => `${shown} lacks ${name}, which ${exported} exports`),
    ...found
      .filter((name) => !wanted.includes(name))
      .map((name) => `${shown} has ${name}, which ${exported} does not export`),
  ]
}

/** Typedoc's links to the README lead to its folder, which a server answers with index.html, and a file system does not. */
function nameStartPage(): void {
  for (const page of htmlPages()) {
    const text = readFileSync(page, 'utf8')
    const named = text.replaceAll(/(?<=\shref="(?:\.\.\/)+)(?=["#])/g, 'index.html')
    if (named !== text) writeFileSync(page, named)
  }
}

function htmlPages(): string[] {
  const files = readdirSync(SITE, { recursive: true, encoding: 'utf8' })
  return files.filter((file) => file.endsWith('.html')).map((file) => join(SITE, file))
}

function deadLinks(): string[] {
  const anchors = new Map<string, Set<string>>()
  const anchorsOf = (file: string): Set<string> => {
    const known = anchors.get(file)
    if (known !== undefined) return known
    const found = [...readFileSync(file, 'utf8').matchAll(/\s(?:id|name)="([^"]+)"/g)].map(([, id]) => decoded(id!))
    anchors.set(file, new Set(found))
    return anchors.get(file)!
  }
  return htmlPages().flatMap((page) => {
    const file = relative(SITE, page)
    const links = [...readFileSync(page, 'utf8').matchAll(/\s(?:href|src)="([^"]*)"/g)].map(([, link]) =>
      decoded(link!),
    )
    return [...new Set(links)].flatMap((link) => {
      // `#` alone belongs to buttons.
      if (/^[a-z]+:/.test(link) || link === '#') return []
      if (link.startsWith('/')) return [`${file}: the link ${link} does not work from files`]
      const [path = '', anchor] = link.split('#')
      const target = path === '' ? page : resolve(dirname(page), decodeURIComponent(path.replace(/\?.*$/, '')))
      if (!existsSync(target) || statSync(target).isDirectory()) return [`${file}: dead link ${link}`]
      if (anchor === undefined || anchor === '' || !target.endsWith('.html')) return []
      return anchorsOf(target).has(decodeURIComponent(anchor)) ? [] : [`${file}: no heading for the link ${link}`]
    })
  })
}

/** The characters that HTML's attributes encode. */
function decoded(text: string): string {
  return text
    .replaceAll('&amp;', '&')
    .replaceAll('&quot;', '"')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&#39;', "'")
}
