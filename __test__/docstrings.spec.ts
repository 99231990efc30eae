// Each export of the package has a docstring with an example, and the examples print what they say: a line `expression // value` or
// `console.log(...) // text`.

import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import ts from 'typescript'
import { runProgram } from './helpers/program.ts'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..')
const INDEX = 'js/index.ts'
const TOOLS = 'js/tools/index.ts'
const TOOL_NAMES =
  'Condition, Event, exclusive, group, iterate, joinAll, Local, Lock, Pool, Queue, retry, Semaphore, timeout, waitAny'
const ADAPTERS = ['express', 'fastify', 'h3', 'hono', 'http', 'koa'].map((name) => `js/adapters/${name}.ts`)
const TESTING = 'js/testing/index.ts'
const TESTING_NAMES = 'matchers, noGreenletsLeft, parkedAt, settle, stackText, untilParked'
const FIBERS = ['js/fibers/index.ts', 'js/fibers/future.ts']
const ENTRIES = [
  INDEX,
  ...ADAPTERS,
  TESTING,
  TOOLS,
  ...FIBERS,
  'js/dump.ts',
  'js/inspect/index.ts',
  'js/watchdog/watchdog.ts',
].map((path) => join(ROOT, path))

/** What the examples take for granted. `runProgram` has most exports in scope. */
const BEFORE = `
  const { readFile } = await import('node:fs/promises')
  const { bind, blocking, describe, settrace, gettrace, TimeoutError, version } = await import('./js/index.ts')
`

/** What the examples of an entry take for granted besides. */
function assumedBy(entry: string): string {
  if (ADAPTERS.includes(entry)) return `const { greenlets, bind } = await import('./${entry}')`
  if (entry === TESTING) return `const { ${TESTING_NAMES} } = await import('./${entry}')`
  if (FIBERS.includes(entry)) {
    return FIBERS.map((each, i) => `const { ${['Fiber, greenletOf', 'Future'][i]} } = await import('./${each}')`).join(
      '\n',
    )
  }
  return entry === TOOLS ? `const { ${TOOL_NAMES} } = await import('./${entry}')` : ''
}

/** The examples of a symbol's docstrings. */
function examplesOf(symbol: ts.Symbol, checker: ts.TypeChecker): string[] {
  const tags = symbol.getJsDocTags(checker).filter(({ name }) => name === 'example')
  return tags.map(({ text }) => ts.displayPartsToString(text).replace(/^```\w*\n|\n```$/g, ''))
}

/** All examples, by the name of the export or of its member. */
function findExamples(): { exports: string[]; examples: Map<string, string[]> } {
  const program = ts.createProgram(ENTRIES, { module: ts.ModuleKind.NodeNext, target: ts.ScriptTarget.ES2023 })
  const checker = program.getTypeChecker()
  const exports: string[] = []
  const examples = new Map<string, string[]>()
  // The types that adapters share are examples of the first one.
  const seen = new Set<ts.Symbol>()
  for (const entry of ENTRIES) {
    for (const exported of checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(entry)!)!)) {
      const symbol = original(exported, checker)
      if (seen.has(symbol)) continue
      seen.add(symbol)
      const name = `${relative(ROOT, entry)} ${symbol.name}`
      exports.push(name)
      examples.set(name, examplesOf(symbol, checker))
      for (const member of [...(symbol.members?.values() ?? []), ...(symbol.exports?.values() ?? [])]) {
        examples.set(`${name}.${member.name}`, examplesOf(member, checker))
      }
    }
  }
  return { exports, examples }
}

/** Where an export is declared. Those of engine.ts are taken from an object there, under the name that they have elsewhere. */
function original(exported: ts.Symbol, checker: ts.TypeChecker): ts.Symbol {
  const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported
  const declaration = symbol.declarations?.find(ts.isBindingElement)
  if (declaration === undefined) return symbol
  const type = checker.getTypeAtLocation(declaration)
  return type.symbol ?? symbol
}

/** A program that runs the example and prints each line that is not as it says. */
function programOf(name: string, example: string): string {
  const imports = ["import { format, inspect } from 'node:util'"]
  const lines = example.split('\n').map((line) => {
    if (line.startsWith('import ')) {
      if (!line.endsWith("'greenlets'")) imports.push(line)
      return ''
    }
    const [, code, said] = /^(.*\S) \/\/ (.*)$/.exec(line) ?? []
    if (code === undefined || /^\s*(?:const|let|return|throw|for|if) |[{}]$/.test(code)) return line
    const logged = /^\s*console\.log\((.*)\)$/.exec(code)
    const found = logged === null ? `inspect(${code})` : `format(${logged[1]})`
    return `is(${found}, ${JSON.stringify(said)})`
  })
  const [entry] = name.split(' ')
  const text = `${assumedBy(entry!)}
    const is = (found, said) => { if (found !== said) console.log(${JSON.stringify(name)}, 'gives', found, 'and not', said) }
    ${lines.join('\n')}`
  const { outputText } = ts.transpileModule(`${imports.join('\n')}\n{\n${text}\n}`, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 },
  })
  return outputText
}

/** They do not depend on the version of Node.js. */
const once = process.versions.node.startsWith('24.') ? test : test.skip

once('each export has an example', (t) => {
  const { exports, examples } = findExamples()
  t.true(exports.length > 25)
  t.deepEqual(
    exports.filter((name) => examples.get(name)!.length === 0),
    [],
  )
})

once('the examples print what they say', async (t) => {
  // They are hundreds of programs.
  t.timeout(600_000)
  const programs = [...findExamples().examples].flatMap(([name, texts]) => texts.map((text) => programOf(name, text)))
  t.true(programs.length > 35)
  const wrong: string[] = []
  await Promise.all(
    programs.map(async (program) => {
      const { code, stdout, stderr } = await runProgram(program, { before: BEFORE })
      if (code !== 0 || stdout !== '') wrong.push(`${program}\n${code} ${stdout} ${stderr}`)
    }),
  )
  t.deepEqual(wrong, [])
})
