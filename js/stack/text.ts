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

/**
 * C0 and C1 (terminal escapes begin with one of them), DEL, separators of lines, and the characters that change the direction of
 * text.
 */
// oxlint-disable-next-line no-control-regex -- these are what is looked for
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** `text` with control characters as escapes, cut in the middle if it is longer than `longest`. */
export function printable(text: string, longest = LONGEST_LINE): string {
  let short = text
  if (text.length > longest) {
    const end = Math.min(KEPT_END, longest >> 1)
    short = `${text.slice(0, longest - end)}...${text.slice(-end)}`
  }
  return short.replaceAll(CONTROLS, escaped)
}

function escaped(character: string): string {
  if (character === '\n') return '\\n'
  if (character === '\t') return '\\t'
  const code = character.charCodeAt(0).toString(16)
  return code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u${code.padStart(4, '0')}`
}
