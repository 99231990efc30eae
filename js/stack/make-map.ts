/**
 * Makes Node.js's `SourceMap` of a text. Node.js checks little: it takes what is wrong for other numbers, so that the positions after
 * it are wrong too. So the text is checked here first.
 */

import module from 'node:module'

/** What a map says of a place. Node.js checks none of the values, and all of them are missing where the map has nothing. */
export interface Entry {
  readonly originalSource?: unknown
  /** From 0. */
  readonly originalLine?: unknown
  /** From 0. */
  readonly originalColumn?: unknown
  readonly name?: unknown
}

export interface Finder {
  /** Line and column are from 0. */
  findEntry(line: number, column: number): Entry
}

interface Payload {
  sections?: unknown
  sources?: unknown
  sourceRoot?: unknown
  names?: unknown
  mappings?: unknown
  sourcesContent?: unknown
}

/**
 * @param url what the sources are relative to
 * @throws Error which says what is wrong
 */
export function makeMap(text: string, url: string): Finder {
  const payload = checkedObject(JSON.parse(text.replace(/^\)\]\}'[^\n]*/, '')), 'it') as Payload
  if (isMissing(payload.sections)) prepare(payload, url)
  else for (const section of checkedList(payload.sections, 'sections')) prepareSection(section, url)
  return new module.SourceMap(payload as never) as unknown as Finder
}

function prepareSection(section: unknown, url: string): void {
  const { offset, map } = checkedObject(section, 'one of its sections') as { offset?: unknown; map?: unknown }
  const { line, column } = checkedObject(offset, 'the offset of a section') as { line?: unknown; column?: unknown }
  if (!isCount(line) || !isCount(column)) throw new Error('the offset of a section has no line or no column')
  prepare(checkedObject(map, 'the map of a section'), url)
}

/** Makes the sources of a map absolute, and drops their text, which nothing here needs. */
function prepare(map: Payload, url: string): void {
  const { mappings, sources, names, sourceRoot } = map
  if (typeof mappings !== 'string' || isMissing(sources)) throw new Error('it has no mappings or no sources')
  checkMappings(mappings)
  // Without a separator at the end, Node.js reads numbers behind the last one: a source or a name that is not there.
  map.mappings = `${mappings};`
  if (!isMissing(names)) checkedList(names, 'names')
  if (!isMissing(sourceRoot) && typeof sourceRoot !== 'string') throw new Error('its sourceRoot is no text')
  const root = sourceRoot ? `${(sourceRoot as string).replace(/\/$/, '')}/` : ''
  // Null is a source that is not known.
  map.sources = checkedList(sources, 'sources').map((source) =>
    typeof source === 'string' ? absolute(root + source, url) : null,
  )
  delete map.sourcesContent
}

function absolute(source: string, url: string): string {
  try {
    return new URL(source, url).href
  } catch {
    return source
  }
}

const [COMMA, SEMICOLON] = [0x2c, 0x3b]
/** What a digit is, by its character: the last one of its number, or one that another one follows. */
const [ENDS, GOES_ON] = [1, 2]
const KINDS = new Uint8Array(128)
for (const digit of Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef')) KINDS[digit] = ENDS
for (const digit of Buffer.from('ghijklmnopqrstuvwxyz0123456789+/')) KINDS[digit] = GOES_ON

/** A number of 32 bits has no more digits. */
const MOST_DIGITS = 7

/** Segments of one, four or five numbers, with a comma between them, and a semicolon at the end of each line. */
function checkMappings(mappings: string): void {
  let numbers = 0
  let digits = 0
  let isFirst = true
  for (let i = 0; i <= mappings.length; i++) {
    const code = i < mappings.length ? mappings.charCodeAt(i) : SEMICOLON
    if (code === COMMA || code === SEMICOLON) {
      if (digits > 0) throw new Error(`its mappings have a number without an end at ${i}`)
      const isEmptyLine = isFirst && numbers === 0 && code === SEMICOLON
      if (!isEmptyLine && numbers !== 1 && numbers !== 4 && numbers !== 5) {
        throw new Error(`its mappings have a segment of ${numbers} numbers before ${i}`)
      }
      isFirst = code === SEMICOLON
      numbers = 0
    } else if (KINDS[code] === ENDS) {
      numbers++
      digits = 0
    } else if (KINDS[code] !== GOES_ON) {
      throw new Error(`its mappings have a wrong character at ${i}`)
    } else if (++digits >= MOST_DIGITS) {
      throw new Error(`its mappings have a number that is too large at ${i}`)
    }
  }
}

function checkedObject(value: unknown, what: string): object {
  if (typeof value !== 'object' || value === null) throw new Error(`${what} is no object`)
  return value
}

function checkedList(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error(`its ${what} are no list`)
  return value as readonly unknown[]
}

function isMissing(value: unknown): boolean {
  return value === undefined || value === null
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
