/** A list of which only the visible rows are in the document, so that it may have 100,000. */

import { element } from './dom.ts'

const ROW_HEIGHT = 26
/** Rows above and below the visible ones. */
const MARGIN = 10

export class Rows<T> {
  readonly #box: HTMLElement
  readonly #space = element('div', { class: 'space' })
  readonly #make: (item: T, index: number) => HTMLElement
  #items: readonly T[] = []

  /** @param make makes the element of a row */
  constructor(box: HTMLElement, make: (item: T, index: number) => HTMLElement) {
    this.#box = box
    this.#make = make
    box.replaceChildren(this.#space)
    box.addEventListener('scroll', () => this.draw())
  }

  get items(): readonly T[] {
    return this.#items
  }

  show(items: readonly T[]): void {
    this.#items = items
    this.#space.style.height = `${items.length * ROW_HEIGHT}px`
    this.draw()
  }

  draw(): void {
    const { scrollTop, clientHeight } = this.#box
    const from = Math.max(0, Math.floor(scrollTop / ROW_HEIGHT) - MARGIN)
    const to = Math.min(this.#items.length, Math.ceil((scrollTop + clientHeight) / ROW_HEIGHT) + MARGIN)
    const rows: HTMLElement[] = []
    for (let i = from; i < to; i++) {
      const row = this.#make(this.#items[i]!, i)
      row.style.top = `${i * ROW_HEIGHT}px`
      rows.push(row)
    }
    this.#space.replaceChildren(...rows)
  }

  /** Scrolls a row into view. */
  reveal(index: number): void {
    const top = index * ROW_HEIGHT
    const { scrollTop, clientHeight } = this.#box
    if (top < scrollTop) this.#box.scrollTop = top
    else if (top + ROW_HEIGHT > scrollTop + clientHeight) this.#box.scrollTop = top + ROW_HEIGHT - clientHeight
  }
}
