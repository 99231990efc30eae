/** Answers the requests of the page, however they arrive. */

import { rangeError, typeError } from '../common/errors.ts'
import { checkOptions } from '../common/options.ts'
import { describe } from '../common/values.ts'
import { dump } from '../dump.ts'
import { jsonOf } from '../dump/json.ts'
import { refuseSecondCopy } from '../engine.ts'
import type { Extent } from '../dump/extent.ts'
import { type Asked, cookieFor, isLoopback, isToken, newToken, SHORTEST_TOKEN, tokenOf } from './access.ts'
import { PAGE, PAGE_HEADERS } from './page/page.ts'
import { readSource } from './sources.ts'
import { filesOf, Watching } from './watching.ts'

/**
 * The options of the page. Each may be left out, or undefined.
 *
 * @example
 * ```js
 * import { inspector } from 'greenlets/inspect'
 * const page = inspector({ token: null, refresh: 2000, limit: 1000 })
 * ```
 */
export interface InspectorOptions {
  /**
   * Who knows it sees the page: at least 16 characters. Default: a new one. Null for none: the program itself decides which requests
   * arrive here.
   */
  readonly token?: string | null | undefined
  /** Milliseconds between two looks at the greenlets. Default: 1000. */
  readonly refresh?: number | undefined
  /** At most so many greenlets; the page says how many are left out. Default: 10000. */
  readonly limit?: number | undefined
  /** At most so many frames of each stack. Default: 100. */
  readonly frames?: number | undefined
}

export const OPTIONS = ['token', 'refresh', 'limit', 'frames'] as const

const LEAST_REFRESH = 100
/** More pages at once are refused. */
const MOST_PAGES = 16
const TEXT = { 'content-type': 'text/plain; charset=utf-8' }
const COMMON = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
}

/** An answer: a text, or events. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | ((write: (text: string) => boolean, end: () => void) => Watching)
}

export class Inspector {
  /** Null where there is none. */
  readonly token: string | null
  readonly #onlyLoopback: boolean
  readonly #refresh: number
  readonly #extent: Extent
  readonly #pages = new Set<Watching>()
  /** The files of the last dump that was made for `source`, and when, by `performance.now()`. */
  #lastFiles: { readonly files: ReadonlySet<string>; readonly at: number } | undefined

  /** @param onlyLoopback whether requests must name this machine as their host */
  constructor(of: string, options: InspectorOptions, onlyLoopback: boolean) {
    refuseSecondCopy()
    const given = checkOptions<InspectorOptions>(of, options, OPTIONS)
    const { token = newToken(), refresh = 1000, limit = 10_000, frames = 100 } = given
    if (token !== null && typeof token !== 'string') {
      throw typeError(`the option token of ${of} takes a string, or null for none, not ${describe(token)}`)
    }
    if (token !== null && !(token.length >= SHORTEST_TOKEN && /^[\w.~-]+$/.test(token))) {
      throw rangeError(`the option token of ${of} takes at least ${SHORTEST_TOKEN} letters, digits, and . _ ~ -`)
    }
    checkNumber(of, 'refresh', refresh, LEAST_REFRESH)
    checkNumber(of, 'limit', limit, 1)
    checkNumber(of, 'frames', frames, 0)
    this.token = token
    this.#refresh = refresh
    this.#extent = { limit, frames }
    this.#onlyLoopback = onlyLoopback
  }

  async answer(asked: Asked): Promise<Answer> {
    if (asked.method !== 'GET' && asked.method !== 'HEAD') return textAnswer(405, 'only GET', { allow: 'GET, HEAD' })
    if (this.#onlyLoopback && !isLoopback(asked.header('host'))) {
      return textAnswer(403, 'this page is for this machine: open it as 127.0.0.1 or localhost')
    }
    const [path = '', search = ''] = asked.url.split('?', 2)
    const query = new URLSearchParams(search)
    const name = path.slice(path.lastIndexOf('/') + 1)
    if (this.token !== null) {
      const { token, isInUrl } = tokenOf(asked, query, this.token)
      if (!isToken(token, this.token)) {
        return textAnswer(
          401,
          'open the page with its token: ?token=…; it was printed, or given, when the page was made',
        )
      }
      // The token does not stay in the address bar and in the history.
      if (isInUrl && isPage(name)) return redirect(pageOf(name), cookieFor(this.token))
    }
    if (name === '') return { status: 200, headers: { ...COMMON, ...PAGE_HEADERS }, body: PAGE }
    if (name === 'events') return this.#events()
    if (name === 'dump.json') {
      const headers = {
        ...COMMON,
        'content-type': 'application/json',
        'content-disposition': 'attachment; filename="greenlets.json"',
      }
      return { status: 200, headers, body: dump({ ...this.#extent, format: 'json' }) }
    }
    if (name === 'source') return this.#source(query)
    // The page's addresses are relative to the slash.
    return redirect(pageOf(name))
  }

  /** Ends the events of all open pages. */
  close(): void {
    for (const page of this.#pages) page.close()
    this.#pages.clear()
  }

  /** A page was closed. */
  left(page: Watching): void {
    page.close()
    this.#pages.delete(page)
  }

  #events(): Answer {
    if (this.#pages.size >= MOST_PAGES) return textAnswer(503, `${MOST_PAGES} pages are open already`)
    const headers = { ...COMMON, 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' }
    const body = (write: (text: string) => boolean, end: () => void): Watching => {
      const page = new Watching(this.#extent, this.#refresh, write, end)
      this.#pages.add(page)
      return page
    }
    return { status: 200, headers, body }
  }

  async #source(query: URLSearchParams): Promise<Answer> {
    const file = query.get('file') ?? ''
    const line = Number(query.get('line'))
    if (!Number.isSafeInteger(line) || line < 1) return textAnswer(400, 'there is no such line')
    if (!this.#isNamed(file)) return textAnswer(404, 'no parked stack names this file')
    try {
      const headers = { ...COMMON, 'content-type': 'application/json' }
      return { status: 200, headers, body: jsonOf(await readSource(file, line)) }
    } catch (error) {
      return textAnswer(404, (error as Error).message)
    }
  }

  /**
   * Whether a frame of a parked stack is in the file, by the same text: an open page has been told of it, or a dump has it. A dump of
   * many greenlets takes long, so there is at most one in the time of a refresh.
   */
  #isNamed(file: string): boolean {
    for (const page of this.#pages) if (page.hasNamed(file)) return true
    const now = performance.now()
    if (this.#lastFiles === undefined || now - this.#lastFiles.at >= this.#refresh) {
      const stacks = dump(this.#extent)
        .toJSON()
        .threads.flatMap((thread) => thread.stacks)
      this.#lastFiles = { files: filesOf(stacks), at: now }
    }
    return this.#lastFiles.files.has(file)
  }
}

function isPage(name: string): boolean {
  return !['events', 'dump.json', 'source'].includes(name)
}

/** From a page that was opened without the slash at its end, as `/inspect`, to `inspect/`. */
function pageOf(name: string): string {
  // What follows the last slash is relative to what precedes it, so a host cannot be in it.
  return name === '' ? './' : `./${encodeURIComponent(decodeSafely(name))}/`
}

function decodeSafely(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function redirect(location: string, cookie?: string): Answer {
  const headers = { ...COMMON, ...TEXT, location, ...(cookie === undefined ? {} : { 'set-cookie': cookie }) }
  return { status: 303, headers, body: location }
}

function textAnswer(status: number, body: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, headers: { ...COMMON, ...TEXT, ...headers }, body: `${body}\n` }
}

/** Not that of dump.ts, which allows Infinity: a page sends its numbers as JSON, and a timer takes none that is not finite. */
function checkNumber(of: string, name: string, value: unknown, least: number): void {
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw typeError(`the option ${name} of ${of} takes a number, not ${describe(value)}`)
  }
  if (value < least) throw rangeError(`the option ${name} of ${of} takes a number from ${least} on, not ${value}`)
}
