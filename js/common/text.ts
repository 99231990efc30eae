/**
 * Makes text of programs fit for a terminal or a log: one line without control characters, not too long.
 *
 * `clean` of dump/safe.ts is stricter, and not the same on purpose. This is the text of stacks, which must be what `error.stack` has at
 * the same place, also with invisible characters and halves of surrogate pairs, and its end, which says where, is kept. A dump is
 * sent to others as JSON and as a page, where such characters could deceive, and it says how much it has cut off.
 */

/** A line of text may have a file name and a place at its end, so the middle is cut out. */
const LONGEST_LINE = 1000
const KEPT_END = 200
const HEX = '0123456789abcdef'

// The program may replace these later.
const { call } = Function.prototype
const charCodeAt = call.bind(String.prototype.charCodeAt) as (text: string, index: number) => number
const slice = call.bind(String.prototype.slice) as (text: string, start: number, end?: number) => string

/** Of the name of a greenlet in a sentence. */
export const LONGEST_NAME = 100

/** The name of a greenlet in quotes, for a sentence. */
export function quoted(name: string): string {
  return `'${printable(name, LONGEST_NAME)}'`
}

/**
 * `text` with control characters as escapes, cut in the middle if it is longer than `longest`. It calls no function that the program
 * may have replaced.
 */
export function printable(text: string, longest = LONGEST_LINE): string {
  let short = text
  if (text.length > longest) {
    const end = longest >> 1 < KEPT_END ? longest >> 1 : KEPT_END
    short = `${slice(text, 0, longest - end)}...${slice(text, text.length - end)}`
  }
  let escaped = ''
  let from = 0
  for (let i = 0; i < short.length; i++) {
    const code = charCodeAt(short, i)
    if (!isControl(code)) continue
    escaped += slice(short, from, i) + escapeOf(code)
    from = i + 1
  }
  return from === 0 ? short : escaped + slice(short, from)
}

/**
 * C0 and C1 (terminal escapes begin with one of them), DEL, separators of lines, and the characters that change the direction of
 * text.
 */
function isControl(code: number): boolean {
  if (code < 0x7f) return code < 0x20
  if (code <= 0x9f || code === 0x061c) return true
  return code >= 0x200e && (code <= 0x200f || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069))
}

function escapeOf(code: number): string {
  if (code === 0x0a) return '\\n'
  if (code === 0x09) return '\\t'
  const digit = (shift: number) => HEX[(code >> shift) & 15]!
  return code < 0x100 ? `\\x${digit(4)}${digit(0)}` : `\\u${digit(12)}${digit(8)}${digit(4)}${digit(0)}`
}
