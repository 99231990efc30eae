/** The lines that a run of a program records. Objects get numbers in the order of their first mention, which shows identity. */

/** More lines than any program records, unless it does not end. */
const MOST_LINES = 20_000

export class Recorder {
  readonly lines: string[] = []
  readonly #label: (value: object) => string
  readonly #seen = new Map<object, string>()

  /** @param label the text for an object, beside its number */
  constructor(label: (value: object) => string) {
    this.#label = label
  }

  record(greenlet: number, what: string): void {
    if (this.lines.length === MOST_LINES) throw new Error('the program does not end')
    this.lines.push(`g${greenlet} ${what}`)
  }

  name(value: unknown): string {
    if (Array.isArray(value)) return `[${value.map((item) => this.name(item)).join(', ')}]`
    if (typeof value !== 'object' || value === null) return String(value)
    const known = this.#seen.get(value)
    if (known !== undefined) return known
    const name = `${this.#label(value)}#${this.#seen.size}`
    this.#seen.set(value, name)
    return name
  }
}

/** The end of a block by a `return` instruction. */
export interface Completion {
  readonly value: number
}
