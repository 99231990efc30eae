/** What a run of a program has to tell. Objects get numbers in the order they are first told of, so identity is told too. */

/** Longer than any program's, unless somebody runs in circles. */
const MOST_LINES = 20_000

export class Story {
  readonly lines: string[] = []
  readonly #label: (value: object) => string
  readonly #seen = new Map<object, string>()

  /** @param label what is told of an object beside its number */
  constructor(label: (value: object) => string) {
    this.#label = label
  }

  tell(who: number, what: string): void {
    if (this.lines.length === MOST_LINES) throw new Error('the program does not end')
    this.lines.push(`g${who} ${what}`)
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

/** How a block ended that said `return`. */
export interface Completion {
  readonly value: number
}
