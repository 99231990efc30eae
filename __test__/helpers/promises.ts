// Promises for tests.

/** Resolves after one turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Resolves with `value` after `ms` milliseconds. */
export function later<T>(value: T, ms = 5): Promise<T> {
  return new Promise((resolve) => setTimeout(resolve, ms, value))
}

/** Resolves when `holds` returns true. There is no time limit here; ava has one. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await later(undefined, 1)
}

/** A promise that settles only when one of its functions is called. */
export function pending<T = unknown>(): {
  promise: Promise<T>
  resolve: (value: T) => void
  reject: (error: unknown) => void
} {
  let settle: Pick<ReturnType<typeof pending<T>>, 'resolve' | 'reject'>
  const promise = new Promise<T>((resolve, reject) => (settle = { resolve, reject }))
  return { promise, ...settle! }
}
