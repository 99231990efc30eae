/**
 * How times are taken on a machine that other programs use too: many short batches of every row, one row after the other,
 * round after round. Whatever disturbs the machine disturbs all rows, and the fastest batch of each is hardly disturbed.
 */

export interface Row {
  readonly name: string
  /**
   * Does it `count` times and returns `count`, which has to come out of the work itself: that shows that the work was
   * done, and keeps compilers from leaving it out.
   */
  run(count: number): number | PromiseLike<number>
  /** Before each batch, outside of its time. */
  before?(): void
  /** After each batch, outside of its time. */
  after?(): void
}

/** Nanoseconds for doing it once, or bytes of one. */
export interface Figure {
  readonly min: number
  readonly median: number
}

export type Figures = Readonly<Record<string, Figure>>

const BATCH_MS = 0.4
/** Of each row, so that the last compiler has compiled it and its feedback has settled. */
const WARM_UP_MS = 60
const WARM_UP_BATCHES = 20
/** Even where warming up took all the time. */
const ROUNDS = 30

/** Measures all rows, in turns. All of it takes about `seconds`. */
export async function measure(rows: readonly Row[], seconds: number): Promise<Figures> {
  const end = performance.now() + seconds * 1000
  const columns: { row: Row; count: number; times: number[] }[] = []
  for (const row of rows) columns.push({ row, count: await warmUp(row, WARM_UP_MS), times: [] })
  // Later rows may have undone what was compiled for the earlier ones, where they share functions.
  for (const column of columns) column.count = await warmUp(column.row, WARM_UP_MS / 3)

  for (let round = 0; round < ROUNDS || performance.now() < end; round++) {
    for (const { row, count, times } of columns) times.push((await batch(row, count)) / count)
  }
  return Object.fromEntries(columns.map(({ row, times }) => [row.name, summary(times.map((ms) => ms * 1e6))]))
}

/** Returns how many make a batch. */
async function warmUp(row: Row, ms: number): Promise<number> {
  let [count, fastest, spent] = [1, Number.POSITIVE_INFINITY, 0]
  for (let batches = 0; spent < ms || batches < WARM_UP_BATCHES; batches++) {
    const elapsed = await batch(row, count)
    spent += elapsed
    fastest = Math.min(fastest, elapsed / count)
    count = Math.max(1, Math.min(count * 2, Math.round(BATCH_MS / fastest)))
  }
  return count
}

/**
 * Milliseconds of one batch. It begins in a callback of the event loop, not in a microtask: there, every stack trace would
 * have this file's async functions at its end.
 */
function batch(row: Row, count: number): Promise<number> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      row.before?.()
      const start = performance.now()
      const result = row.run(count)
      if (typeof result === 'number') finish(result)
      else result.then(finish, reject)

      function finish(done: number): void {
        const elapsed = performance.now() - start
        row.after?.()
        if (done === count) resolve(elapsed)
        else reject(new Error(`'${row.name}' came to ${done} instead of ${count}`))
      }
    })
  })
}

/** Of nanoseconds. */
export function summary(times: readonly number[]): Figure {
  const sorted = times.map((ns) => Math.round(ns * 10) / 10).toSorted((a, b) => a - b)
  return { min: sorted[0]!, median: sorted[sorted.length >> 1]! }
}
