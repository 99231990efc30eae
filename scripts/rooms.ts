// Checks the doors between rooms: a file imports only from its own room and from rooms below it, and no import circle has more than
// two files. For Rust (`use` and paths such as `crate::a::b`) and for TypeScript (`import`, `export ... from`, `import()` and
// `require()`). What it could not follow is an error: `#[path]`, `include!`, a computed `import()`, the package's own name. Run by
// `make lint`.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

const ROOT = resolve(import.meta.dirname, '..')
/** More files than these in one circle are an error. */
const MOST_IN_CIRCLE = 2
/** `binding.cjs` requires the addon by a computed path; it is the only such file. */
const COMPUTED = 'native/binding.cjs'

interface House {
  /** The folder, from the repository's root. */
  readonly folder: string
  /** Its rooms from the lowest to the highest: folders or files. Rooms in one inner array do not import each other. */
  readonly rooms: readonly (string | readonly string[])[]
}

const HOUSES: readonly House[] = [
  { folder: 'crates/core/src', rooms: ['fiber', 'raw', 'greenlet', 'lib.rs'] },
  {
    folder: 'crates/napi/src',
    rooms: [
      ['fixed.rs', 'objects.rs', 'unsupported.rs'],
      ['mail.rs', 'settings.rs', 'weak.rs', 'cxx_exceptions.rs', 'imports.rs', 'libraries.rs'],
      'v8/learn',
      'v8/stack',
      'v8/gc',
      'v8/lanes',
      'v8/mod.rs',
      'node',
      'v8_host.rs',
      'other_isolates.rs',
      'host.rs',
      'calls',
      'unwind.rs',
      'environment.rs',
      'exports.rs',
      'lib.rs',
    ],
  },
  {
    folder: 'js',
    rooms: [
      'common',
      'native',
      'core',
      'stack',
      'greenlet',
      'fibers/types.ts',
      'fibers/fiber.ts',
      'hub',
      'dump',
      'engine.ts',
      'tools',
      'dump.ts',
      ['adapters', 'fibers', 'testing', 'watchdog', 'index.ts', 'main.ts', 'dump-on-signal.ts', 'inspect', 'cli'],
    ],
  },
]

/** From each file of a house to the files that it imports. Paths are relative to the house. */
type Graph = ReadonlyMap<string, ReadonlySet<string>>

const problems = HOUSES.flatMap((house) => {
  const graph = graphOf(house)
  return [...wrongDoors(house, graph), ...circles(house, graph), ...hiddenDoors(house)]
})
for (const problem of problems) console.error(problem)
if (problems.length > 0) process.exitCode = 1
else console.log('rooms: every import points down, and no circle has more than two files')

function wrongDoors({ folder, rooms }: House, graph: Graph): string[] {
  const found: string[] = []
  for (const [file, imports] of graph) {
    const own = roomOf(rooms, file)
    if (own === undefined) {
      found.push(`${folder}/${file} is in no room; add it to scripts/rooms.ts`)
      continue
    }
    for (const target of imports) {
      const other = roomOf(rooms, target)
      if (other === undefined || other.level < own.level || other.name === own.name) continue
      found.push(
        `${folder}/${file} imports ${target}: room '${own.name}' may not import '${other.name}', which is not below it`,
      )
    }
  }
  return found
}

/** Ways to import that this script cannot follow. */
function hiddenDoors({ folder }: House): string[] {
  return [...sourcesOf(join(ROOT, folder))].flatMap(([file, source]) => {
    const patterns = file.endsWith('.rs')
      ? [/#\[path\b/g, /\binclude!/g, /\bextern crate self\b/g]
      : [
          /\b(?:from|import|require)\s*\(?\s*['"`](?:greenlets\b|[#/])[^'"`]*['"`]/g,
          ...(file === COMPUTED ? [] : [/\b(?:import|require)\s*\(\s*[^\s'")][^)]*\)/g]),
        ]
    return patterns
      .flatMap((pattern) => [...source.matchAll(pattern)])
      .map(([text]) => `${folder}/${file}: the doors between rooms cannot be checked for ${text}`)
  })
}

function roomOf(rooms: House['rooms'], file: string): { level: number; name: string } | undefined {
  for (const [level, entry] of rooms.entries()) {
    const names = typeof entry === 'string' ? [entry] : entry
    const name = names.find((room) => file === room || file.startsWith(`${room}/`))
    if (name !== undefined) return { level, name }
  }
  return undefined
}

/** The strongly connected components with too many files. */
function circles({ folder }: House, graph: Graph): string[] {
  const found: string[] = []
  const order = new Map<string, number>()
  const lowest = new Map<string, number>()
  const path: string[] = []
  // Tarjan's algorithm.
  const visit = (file: string): void => {
    order.set(file, order.size)
    lowest.set(file, order.get(file)!)
    path.push(file)
    for (const target of graph.get(file) ?? []) {
      if (!order.has(target)) {
        visit(target)
        lowest.set(file, Math.min(lowest.get(file)!, lowest.get(target)!))
      } else if (path.includes(target)) {
        lowest.set(file, Math.min(lowest.get(file)!, order.get(target)!))
      }
    }
    if (lowest.get(file) !== order.get(file)) return
    const circle = path.splice(path.indexOf(file))
    if (circle.length > MOST_IN_CIRCLE) {
      found.push(`${folder}: ${circle.length} files import each other in a circle: ${circle.toSorted().join(', ')}`)
    }
  }
  for (const file of graph.keys()) if (!order.has(file)) visit(file)
  return found
}

function graphOf({ folder }: House): Graph {
  const home = join(ROOT, folder)
  const sources = sourcesOf(home)
  return new Map(
    [...sources.keys()].map((file) => {
      const targets = file.endsWith('.rs') ? rustImports(file, sources) : typescriptImports(home, file, sources)
      targets.delete(file)
      return [file, targets]
    }),
  )
}

/** From each file to its text without comments. */
type Sources = ReadonlyMap<string, string>

function sourcesOf(home: string): Sources {
  const files = readdirSync(home, { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(?:rs|[cm]?[jt]s)$/.test(file) && !file.endsWith('.d.ts') && !file.endsWith('.d.cts'))
    .toSorted()
  return new Map(files.map((file) => [file, withoutComments(readFileSync(join(home, file), 'utf8'))]))
}

function typescriptImports(home: string, file: string, sources: Sources): Set<string> {
  const found = new Set<string>()
  for (const [, path] of sources.get(file)!.matchAll(/\b(?:from|import|require)\s*\(?\s*['"`](\.[^'"`]*)['"`]/g)) {
    const target = relative(home, resolve(home, dirname(file), path!))
    const candidates = [target, target.replace(/js$/, 'ts'), `${target}.ts`, `${target}/index.ts`]
    const existing = candidates.find((candidate) => sources.has(candidate))
    if (existing !== undefined) found.add(existing)
  }
  return found
}

function rustImports(file: string, sources: Sources): Set<string> {
  const found = new Set<string>()
  const own = moduleOf(file)
  const source = sources.get(file)!
  // In a module inside of this file, `super` is the file.
  const hasInner = /\bmod \w+ \{/.test(source)
  const isOwn = ([first, name]: readonly string[]): boolean =>
    first === 'super' && hasInner && new RegExp(`\\b(?:const|enum|fn|static|struct|trait|type) ${name}\\b`).test(source)
  const add = (path: readonly string[]): void => {
    if (isOwn(path)) return
    const target = definedIn(absolute(own, path, sources), sources)
    if (target !== undefined) found.add(target)
  }
  const used = usedPaths(source)
  for (const { path } of used) add(path)
  // Paths in expressions and types. They may begin with a module that a `use` has named.
  const byName = new Map(used.map(({ name, path }) => [name, path]))
  for (const [path] of source.matchAll(/\b(?:crate|super)(?:::\w+)+/g)) add(path.split('::'))
  for (const [text] of source.matchAll(/(?<![:\w])\w+(?:::\w+)+/g)) {
    const [first, ...rest] = text.split('::')
    add([...(byName.get(first!) ?? [first!]), ...rest])
  }
  return found
}

/** A path of a `use`, and the name that it has in this file. */
interface Used {
  readonly path: readonly string[]
  readonly name: string
}

function usedPaths(source: string): Used[] {
  return [...source.matchAll(/\buse\s+([^;]+);/g)]
    .flatMap(([, tree]) => expand(tree!))
    .map((path) => {
      const [last, alias] = path.at(-1)!.split(' as ')
      return { path: [...path.slice(0, -1), last!], name: alias ?? last! }
    })
}

/** The file that defines what a path names: where a module only passes a name on (`pub use`), the file behind it. */
function definedIn(path: readonly string[], sources: Sources): string | undefined {
  const file = fileOf(path, sources)
  if (file === undefined) return undefined
  const own = moduleOf(file)
  const name = path[own.length]
  if (name === undefined) return file
  const passedOn = usedPaths(sources.get(file)!).find((used) => used.name === name && used.path.length > 1)
  const behind = passedOn === undefined ? [] : absolute(own, passedOn.path, sources)
  return behind.length === 0 || behind.join() === path.join() ? file : definedIn(behind, sources)
}

/** `v8/learn/mod.rs` is the module v8::learn. */
function moduleOf(file: string): string[] {
  const parts = file.replace(/\.rs$/, '').split('/')
  return ['mod', 'lib'].includes(parts.at(-1)!) ? parts.slice(0, -1) : parts
}

/** A path from the crate's root; empty where it leads out of the crate. */
function absolute(own: readonly string[], path: readonly string[], sources: Sources): string[] {
  const [first, ...rest] = path
  if (first === 'crate') return rest
  if (first === 'self') return [...own, ...rest]
  if (first === 'super') {
    const outer = own.slice(0, -1)
    return rest[0] === 'super' || rest[0] === 'self' ? absolute(outer, rest, sources) : [...outer, ...rest]
  }
  // A child of this module.
  const child = [...own, first!]
  return fileOf(child, sources, true) === undefined ? [] : [...own, ...path]
}

/** The file of the innermost module that a path names. */
function fileOf(path: readonly string[], sources: Sources, exactly = false): string | undefined {
  for (let length = path.length; length > 0; length--) {
    const base = path.slice(0, length).join('/')
    const file = [`${base}.rs`, `${base}/mod.rs`].find((candidate) => sources.has(candidate))
    if (file !== undefined || exactly) return file
  }
  return undefined
}

/** All paths of a `use` tree: `a::{b, c::d}` is a::b and a::c::d. */
function expand(tree: string): string[][] {
  const text = tree.replaceAll(/\s+/g, ' ').trim()
  const brace = text.indexOf('{')
  if (brace === -1) return [text.split('::').map((part) => part.trim())]
  const prefix = text
    .slice(0, brace)
    .split('::')
    .filter(Boolean)
    .map((part) => part.trim())
  return branches(text.slice(brace + 1, text.lastIndexOf('}'))).flatMap((branch) =>
    expand(branch).map((path) => [...prefix, ...path.filter((part) => part !== 'self')]),
  )
}

/** The parts between the outermost commas. */
function branches(text: string): string[] {
  const found: string[] = []
  let [depth, start] = [0, 0]
  for (const [i, character] of [...text].entries()) {
    if (character === '{') depth++
    else if (character === '}') depth--
    else if (character === ',' && depth === 0) {
      found.push(text.slice(start, i))
      start = i + 1
    }
  }
  found.push(text.slice(start))
  return found.filter((branch) => branch.trim() !== '')
}

/** Also without the unit tests at the end of a Rust file, of which `super` is the file itself. */
function withoutComments(text: string): string {
  return text
    .replace(/^#\[cfg\(test\)\]\nmod \w+ \{[\s\S]*$/m, '')
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
    .replaceAll(/(?<!:)\/\/.*$/gm, '')
}
