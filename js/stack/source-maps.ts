/**
 * Finds the position in the source that a position in a script was made of. What Node.js knows comes first, then what tools
 * know that format errors, and then the source map that the file of the script names. Nothing is read before it is asked for.
 */

import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import module from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { describe } from '../common/values.ts'
import { type Entry, type Finder, makeMap } from './make-map.ts'
import { lineByProgram } from './program-text.ts'
import type { CallSite } from './realm.ts'

/** How many maps are kept, and how much text they may have been made of. What was used last is kept. */
export const MOST_MAPS = 100
const MOST_TEXT = 64 * 2 ** 20
/** A longer file is not read: V8 keeps strings of up to 512 MB, and a map takes several times its text. */
const LONGEST_FILE = 64 * 2 ** 20

/**
 * A position in a source, such as a TypeScript file.
 *
 * @example
 * ```js
 * const g = new Greenlet(() => Greenlet.main.switch())
 * g.switch()
 * g.gr_frame.original // null
 * ```
 */
export interface OriginalPosition {
  /** As the script's: a URL for an ES module, else a path. Another URL where the map says so, for example `webpack://...`. */
  readonly fileName: string
  /** From 1. */
  readonly lineNumber: number
  /** From 1. */
  readonly columnNumber: number
  /** The name in the source, where the map has it, and the frame's otherwise. */
  readonly functionName: string | null
}

/** Where a frame is in the source, or why that is not known. Both are null where the script has no source map. */
export interface Mapping {
  readonly original: OriginalPosition | null
  readonly problem: string | null
}

const NONE: Mapping = { original: null, problem: null }

/** The map that a file names; null where it names none. */
interface Loaded {
  readonly map: Finder | null
  readonly problem: string | null
  readonly size: number
}

/** Newer than the types. */
type Enclosing = CallSite & {
  getEnclosingLineNumber?(): number | null
  getEnclosingColumnNumber?(): number | null
}

const problemOf = (problem: string): Mapping => ({ original: null, problem })

/** Never throws. */
export function mappingOf(site: CallSite): Mapping {
  const file = site.getFileName() ?? null
  const [line, column] = [site.getLineNumber() ?? null, site.getColumnNumber() ?? null]
  if (file === null || line === null || column === null || file.startsWith('node:')) return NONE
  return byNode(site, file, line, column) ?? byProgram(site, line, column) ?? byFile(site, file, line, column)
}

/** By what Node.js has noted, with `--enable-source-maps`; undefined where it has no map. */
function byNode(site: CallSite, file: string, line: number, column: number): Mapping | undefined {
  try {
    const map = module.findSourceMap(file) as Finder | undefined
    return map === undefined ? undefined : entryOf(map, site, file, line, column)
  } catch {
    // It throws where it cannot read the map, for example on Node.js 20.
    return undefined
  }
}

/** By what the program's errors would say; undefined where they have the position of the script. */
function byProgram(site: CallSite, line: number, column: number): Mapping | undefined {
  const found = placeOf(lineByProgram(site) ?? '')
  if (found === undefined || (found.lineNumber === line && found.columnNumber === column)) return undefined
  if (!isFromOne(found.lineNumber) || !isFromOne(found.columnNumber)) return undefined
  return { original: { ...found, functionName: site.getFunctionName() || null }, problem: null }
}

/** The place at the end of a line of a stack. */
export function placeOf(text: string): Omit<OriginalPosition, 'functionName'> | undefined {
  const match = /^(?:.* \()?(?:async )?(.+?):(\d+):(\d+)\)?$/s.exec(text)
  return match === null
    ? undefined
    : { fileName: match[1]!, lineNumber: Number(match[2]), columnNumber: Number(match[3]) }
}

function byFile(site: CallSite, file: string, line: number, column: number): Mapping {
  try {
    const { map, problem } = load(file, site)
    if (map === null) return problem === null ? NONE : problemOf(problem)
    return entryOf(map, site, file, line, column)
  } catch (error) {
    return problemOf(`the source map of ${file} cannot be used: ${messageOf(error)}`)
  }
}

/** What a map says. It may be Node.js's own, or made by the program, so that each field can have any value. */
function entryOf(map: Finder, site: CallSite, file: string, line: number, column: number): Mapping {
  const place = `line ${line}, column ${column}`
  const has = (what: string): Mapping => problemOf(`the source map of ${file} has ${what}`)
  const { originalSource, originalLine, originalColumn }: Entry = map.findEntry(line - 1, column - 1)
  if (originalLine === undefined || originalColumn === undefined) return has(`nothing for ${place}`)
  if (typeof originalSource !== 'string' || originalSource === '') return has(`no source for ${place}`)
  const lineNumber = fromOne(originalLine)
  const columnNumber = fromOne(originalColumn)
  if (!isFromOne(lineNumber)) return has(`a wrong line of the source, ${describe(lineNumber)}, for ${place}`)
  if (!isFromOne(columnNumber)) return has(`a wrong column of the source, ${describe(columnNumber)}, for ${place}`)
  const name = enclosingName(map, site) || site.getFunctionName() || null
  if (name !== null && typeof name !== 'string') return has(`a name that is no text, but ${describe(name)}`)
  const fileName = file.startsWith('file:') ? originalSource : pathOf(originalSource)
  return { original: { fileName, lineNumber, columnNumber, functionName: name }, problem: null }
}

function fromOne(value: unknown): unknown {
  return typeof value === 'number' ? value + 1 : value
}

function isFromOne(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1
}

/** The name that the map has for the place where the function begins. */
function enclosingName(map: Finder, site: Enclosing): unknown {
  const [line, column] = [site.getEnclosingLineNumber?.(), site.getEnclosingColumnNumber?.()]
  if (typeof line !== 'number' || typeof column !== 'number' || line < 1) return undefined
  return map.findEntry(line - 1, column - 1).name
}

function pathOf(url: string): string {
  return url.startsWith('file:') ? fileURLToPath(url) : url
}

/** Maps by the name and the hash of the script; what was used last is at the end. */
const cache = new Map<string, Loaded>()
let cachedText = 0

/** How many maps are kept; for the tests. */
export function cachedMaps(): number {
  return cache.size
}

function load(file: string, site: CallSite): Loaded {
  const key = `${site.getScriptHash()} ${file}`
  const known = cache.get(key)
  if (known !== undefined) {
    cache.delete(key)
    cache.set(key, known)
    return known
  }
  const loaded = read(file, site.getScriptHash())
  cache.set(key, loaded)
  cachedText += loaded.size
  for (const [oldest, { size }] of cache) {
    if (cache.size <= MOST_MAPS && cachedText <= MOST_TEXT) break
    cache.delete(oldest)
    cachedText -= size
  }
  return loaded
}

function read(file: string, hash: string): Loaded {
  const nothing = (problem: string | null): Loaded => ({ map: null, problem, size: 0 })
  const base = file.startsWith('file:')
    ? file
    : /^(?:\/|[A-Za-z]:[\\/])/.test(file)
      ? pathToFileURL(file).href
      : undefined
  // Code of `eval`, of `vm` without a path, and of other URLs: there is no file that could name a map.
  if (base === undefined) return nothing(null)
  let url: string | undefined
  let text: string
  try {
    const script = readText(fileURLToPath(base))
    url = lastComment(script)
    if (url === undefined) return nothing(null)
    // A loader may have compiled the file, or the file was written since.
    if (createHash('sha256').update(script).digest('hex') !== hash) {
      return nothing(`${file} is not the text that runs: it has changed, or a loader has compiled it`)
    }
  } catch {
    return nothing(null)
  }
  try {
    const [where, content] = contentOf(url, base)
    text = content
    url = where
  } catch (error) {
    return nothing(`the source map of ${file} cannot be read: ${messageOf(error)}`)
  }
  try {
    return { map: makeMap(text, url), problem: null, size: text.length }
  } catch (error) {
    return nothing(`the source map of ${file} is broken: ${messageOf(error)}`)
  }
}

function readText(path: string): string {
  const found = statSync(path)
  // Reading a pipe or a device may never end.
  if (!found.isFile()) throw new Error(`${path} is not a file`)
  if (found.size > LONGEST_FILE) throw new Error(`${path} is larger than ${LONGEST_FILE} bytes`)
  return readFileSync(path, 'utf8')
}

/** The URL in the last comment of the kind. */
function lastComment(script: string): string | undefined {
  return [...script.matchAll(/\/[*/][#@][ \t]+sourceMappingURL=([^\s'"]+)/g)].at(-1)?.[1]
}

/** The URL that the map's sources are relative to, and the text of the map. */
function contentOf(url: string, base: string): [where: string, text: string] {
  if (url.startsWith('data:')) {
    const comma = url.indexOf(',')
    const [head, data] = [url.slice(0, comma), url.slice(comma + 1)]
    if (comma === -1) throw new Error('the data: URL has no data')
    return [base, head.endsWith(';base64') ? Buffer.from(data, 'base64').toString() : decodeURIComponent(data)]
  }
  const { href, protocol } = new URL(url, base)
  if (protocol !== 'file:') throw new Error(`it is at ${href}, and nothing is read from a network`)
  return [href, readText(fileURLToPath(href))]
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
