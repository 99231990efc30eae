/**
 * Takes times on a machine that other programs use too: many short batches of every row, one row after the other, round after
 * round. A disturbance of the machine then disturbs all rows, and hardly disturbs the fastest batch of each.
 */

export interface Row {
  readonly name: string
  /**
   * Does the work `count` times and returns `count`, which must be a result of the work itself: that proves that the work was
   * done, and keeps compilers from removing it.
   */
  run(count: number): number | PromiseLike<number>
  /** Runs before each batch, outside of its time. */
  before?(): void
  /** Runs after each batch, outside of its time. */
  after?(): void
}

/** Nanoseconds for one time, or bytes of one item. */
export interface Figure {
  readonly min: number
  readonly median: number
}

export type Figures = Readonly<Record<string, Figure>>

const BATCH_MS = 0.4
/** The time of each row until the last compiler has compiled it and its feedback has settled. */
const WARM_UP_MS = 60
const WARM_UP_BATCHES = 20
/** The least number of rounds, even if the warm-up took all the time. */
const ROUNDS = 30

/** Measures all rows in turns. Takes about `seconds` in total. */
export async function measure(rows: readonly Row[], seconds: number): Promise<Figures> {
  const end = performance.now() + seconds * 1000
  const columns: { row: Row; count: number; times: number[] }[] = []
  for (const row of rows) columns.push({ row, count: await warmUp(row, WARM_UP_MS), times: [] })
  // Rows that share functions with earlier ones may have undone their compiled code.
  for (const column of columns) column.count = await warmUp(column.row, WARM_UP_MS / 3)

  for (let round = 0; round < ROUNDS || performance.now() < end; round++) {
    for (const { row, count, times } of columns) times.push((await batch(row, count)) / count)
  }
  return Object.fromEntries(columns.map(({ row, times }) => [row.name, summary(times.map((ms) => ms * 1e6))]))
}

/** Returns the number of times that make a batch. */
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
 * Returns the milliseconds of one batch. The batch begins in a callback of the event loop, not in a microtask: in a microtask
 * every stack trace would end with this file's async functions.
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

/** Summary of nanoseconds. */
export function summary(times: readonly number[]): Figure {
  const sorted = times.map((ns) => Math.round(ns * 10) / 10).toSorted((a, b) => a - b)
  return { min: sorted[0]!, median: sorted[sorted.length >> 1]! }
}
