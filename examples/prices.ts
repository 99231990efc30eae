/** The slow price list of the demo, and what each order must cost. */

/** The source of the prices; it is slow. */
export interface PriceList {
  find(article: number): Promise<number>
  findVisitor(id: number): Promise<string>
}

/** A price list that answers no lookup until it is opened. */
export class SlowPrices implements PriceList {
  lookups = 0
  open!: () => void
  readonly #opened = new Promise<void>((resolve) => (this.open = resolve))

  find(article: number): Promise<number> {
    this.lookups++
    return this.#opened.then(() => priceOf(article))
  }

  findVisitor(id: number): Promise<string> {
    this.lookups++
    return this.#opened.then(() => `visitor ${id}`)
  }
}

export function priceOf(article: number): number {
  return 5000 - article
}

/** The three articles of order, cart or offer number `id`. */
export function articles(id: number | string): number[] {
  return [1, 2, 3].map((n) => Number(id) * 10 + n)
}
