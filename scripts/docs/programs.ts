// Runs the blocks of one page, in order, in a folder of their own. A block of text after a program is what that program prints.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import ts from 'typescript'
import { type Outcome, run } from '../run.ts'
import { type Block, ROOT } from './blocks.ts'
import { commandsOf, treat } from './commands.ts'
import { followDockerfile } from './dockerfile.ts'
import { withChecks } from './expectations.ts'
import type { Home } from './home.ts'

export interface PageReport {
  /** One for each block that was run or checked: what is wrong with it, or undefined. */
  readonly results: readonly (string | undefined)[]
  /** What was not run, and why. */
  readonly notRun: readonly string[]
  /** Programs in TypeScript, for the compiler. */
  readonly typescript: readonly string[]
}

const PROGRAMS = ['js', 'mjs', 'cjs', 'ts', 'mts']
const PRELOAD = pathToFileURL(join(ROOT, 'scripts/docs/preload.mjs')).href
const LIMIT = 120

export async function runPage(name: string, blocks: readonly Block[], home: Home, node: string): Promise<PageReport> {
  const folder = join(home.folder, 'pages', name)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'app', private: true, type: 'module' }))
  const results: (string | undefined)[] = []
  const notRun: string[] = []
  const typescript: string[] = []
  let last: Outcome | undefined
  for (const [number, block] of blocks.entries()) {
    const place = `${block.document}:${block.line}`
    const result = (problem: string | undefined) =>
      results.push(problem === undefined ? undefined : `${place}: ${problem}`)
    if (block.notRun !== undefined) {
      notRun.push(`${place}: ${block.notRun}`)
      last = undefined
    } else if (PROGRAMS.includes(block.language)) {
      const file = block.attributes['file'] ?? `example-${number}.${block.language}`
      if (file.endsWith('ts') && block.attributes['compiled'] !== 'no')
        typescript.push(save(folder, file, block, `${folder}/typed`))
      last = await runProgram(folder, file, block, node)
      result(endsWell(last, block.attributes['exit']))
    } else if (['sh', 'bash', 'console'].includes(block.language)) {
      last = undefined
      for (const command of commandsOf(block.code)) {
        const treatment = treat(command, home.tarballs)
        if ('problem' in treatment) result(treatment.problem)
        else if ('notRun' in treatment) notRun.push(`${place}: ${command}: ${treatment.notRun}`)
        else {
          last = await run('sh', ['-c', treatment.run], { cwd: folder, env: environment(node), limit: LIMIT })
          result(endsWell(last, block.attributes['exit']))
        }
      }
    } else if (['text', 'txt'].includes(block.language)) {
      result(last === undefined ? 'text after no program' : difference(block.code, normal(last.output, folder)))
    } else if (block.language === 'json') {
      result(problemOfJson(block.code))
      if (block.attributes['file'] !== undefined) save(folder, block.attributes['file'], block)
    } else if (block.language.toLowerCase() === 'dockerfile') {
      const image = join(folder, `image-${number}`)
      const problems = await followDockerfile(block.code, folder, image, home.tarballs)
      result(problems.length === 0 ? undefined : problems.join('; '))
    } else if (block.language === '') {
      // A drawing.
      notRun.push(`${place}: no language`)
    } else result(`no rule for the language '${block.language}': add one to scripts/docs/programs.ts`)
  }
  return { results, notRun, typescript }
}

function save(folder: string, file: string, block: Block, home = folder): string {
  const path = join(home, file)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, whole(block, block.code))
  return path
}

function whole({ before, after }: Block, code: string): string {
  return [before, code, after].filter((part) => part !== '').join('\n')
}

/** Other programs of the page may import this one, so the file has the code without the checks, and a copy has them. */
async function runProgram(folder: string, file: string, block: Block, node: string): Promise<Outcome> {
  const { code, expectations } = withChecks(block.code)
  const path = join(folder, file)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, whole(block, code))
  const env = {
    ...environment(node),
    DOCS_EXPECTATIONS: JSON.stringify(expectations),
    DOCS_FOLDER: folder,
  }
  const outcome = await run(node, ['--import', PRELOAD, path], { cwd: folder, env, limit: LIMIT })
  save(folder, file, { ...block, before: '', after: '' })
  return outcome
}

/** Without the variables of this repository, and with the Node that is tested. */
function environment(node: string): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(?:GREENLETS_|NODE_OPTIONS|npm_)/.test(name))
  return { ...Object.fromEntries(kept), PATH: `${dirname(node)}:${process.env['PATH']}` }
}

function endsWell({ end, output }: Outcome, wanted = '0'): string | undefined {
  return String(end) === wanted ? undefined : `it ended with ${end}:\n${output}`
}

/** `...` in the text of the page stands for any text. */
function difference(expected: string, found: string): string | undefined {
  const pattern = expected
    .trimEnd()
    .split('...')
    .map((part) => part.replaceAll(/[$()*+.?[\\\]^{|}]/g, String.raw`\$&`))
    .join('[^]*')
  return new RegExp(`^${pattern}$`).test(found.trimEnd()) ? undefined : `the output is:\n${found}`
}

function normal(output: string, folder: string): string {
  return output.replaceAll(folder, '/app')
}

/** A configuration of TypeScript is also checked by the compiler. */
function problemOfJson(text: string): string | undefined {
  try {
    const value = JSON.parse(text) as { readonly compilerOptions?: object }
    if (value.compilerOptions === undefined) return undefined
    const { errors } = ts.convertCompilerOptionsFromJson(value.compilerOptions, '/')
    return errors.length === 0 ? undefined : errors.map(({ messageText }) => String(messageText)).join('; ')
  } catch (error) {
    return String(error)
  }
}

/** Compiles the programs in TypeScript against the installed package. */
export async function compile(files: readonly string[], home: Home): Promise<string | undefined> {
  const options = {
    strict: true,
    noEmit: true,
    target: 'es2023',
    module: 'nodenext',
    types: ['node'],
    allowImportingTsExtensions: true,
  }
  const config = join(home.folder, 'tsconfig.json')
  writeFileSync(
    config,
    JSON.stringify({ compilerOptions: { ...options, lib: ['es2023', 'esnext.disposable'] }, files }),
  )
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  return endsWell(await run(process.execPath, [tsc, '--project', config], { cwd: home.folder, limit: 120 }))
}

/** What the examples of docstrings use without importing it. */
const ASSUMED: readonly (readonly [names: readonly string[], from: string])[] = [
  [exportedValues(), 'greenlets'],
  [['readFile'], 'node:fs/promises'],
]

/** The same for the examples of js/tools, of which other examples use the names for variables. */
const ASSUMED_BY_TOOLS: typeof ASSUMED = [...ASSUMED, [namesIn('tools'), 'greenlets/tools']]
const ASSUMED_BY_TESTING: typeof ASSUMED = [...ASSUMED, [namesIn('testing'), 'greenlets/testing']]

/** The same for the examples of js/fibers. */
const ASSUMED_BY_FIBERS: typeof ASSUMED = [
  ...ASSUMED,
  [['Fiber', 'greenletOf'], 'greenlets/fibers'],
  [['Future'], 'greenlets/fibers/future'],
]

function namesIn(wing: string): string[] {
  const index = readFileSync(join(ROOT, `js/${wing}/index.ts`), 'utf8').replaceAll(/\btype \w+/g, '')
  const names = [...index.matchAll(/^export \{([^}]*)\}/gm)].flatMap(([, list]) => list!.match(/\w+/g) ?? [])
  return names.filter((name) => !exportedValues().includes(name))
}

function exportedValues(): string[] {
  const index = readFileSync(join(ROOT, 'js/index.ts'), 'utf8')
  return /export \{([^}]*)\} from '.\/engine.ts'/.exec(index)![1]!.match(/\w+/g) ?? []
}

/** An adapter has a `bind` of its own. */
function withoutDoor([names, from]: (typeof ASSUMED)[number]): (typeof ASSUMED)[number] {
  return [names.filter((name) => name !== 'bind'), from]
}

/** Adds what the example of a docstring uses and does not import. It may be TypeScript, and is not compiled. */
export function withImports(block: Block): Block {
  // The types that adapters share have examples with Express.
  const [, adapter = 'express'] = /^js\/adapters\/(\w+)\.ts$/.exec(block.document) ?? []
  const door: (typeof ASSUMED)[number] = [['greenlets', 'bind'], `greenlets/${adapter}`]
  const inAssumed: Readonly<Record<string, typeof ASSUMED>> = {
    adapters: [...ASSUMED.map(withoutDoor), door],
    fibers: ASSUMED_BY_FIBERS,
    testing: ASSUMED_BY_TESTING,
    tools: ASSUMED_BY_TOOLS,
  }
  const assumed = inAssumed[/^js\/(\w+)\//.exec(block.document)?.[1] ?? ''] ?? ASSUMED
  const imports = assumed.map(([names, from]) => {
    const used = names.filter((name) => new RegExp(`(?<![.\\w'/])${name}\\b`).test(block.code))
    const missing = used.filter((name) => !new RegExp(`^import (?:\\{[^}]*|[^'{]*)\\b${name}\\b`, 'm').test(block.code))
    return missing.length === 0 ? '' : `import { ${missing.join(', ')} } from '${from}'`
  })
  const before = [...imports, block.before].filter((line) => line !== '').join('\n')
  return { ...block, language: 'ts', attributes: { ...block.attributes, compiled: 'no' }, before }
}
