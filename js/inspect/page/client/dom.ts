/** Makes elements. All texts of the program become text nodes: nothing is parsed as HTML. */

type Child = Node | string | undefined

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> & { readonly class?: string } = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag)
  const { class: className, ...rest } = properties
  if (className !== undefined) made.className = className
  Object.assign(made, rest)
  made.append(...children.filter((child) => child !== undefined))
  return made
}

/** An element of the page. */
export function byId<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T
}

/** `1234` as `1,234`. */
export function grouped(count: number): string {
  return count.toLocaleString('en')
}

/** Milliseconds for people. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`
  const seconds = ms / 1000
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  const minutes = Math.floor(seconds / 60)
  return minutes < 60
    ? `${minutes} min ${Math.floor(seconds % 60)} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
