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

/** Nanoseconds for doing it once. */
export interface Time {
  readonly min: number
  readonly median: number
}

export type Times = Readonly<Record<string, Time>>

const BATCH_MS = 0.4
/** Of each row, so that it has been compiled by the last compiler and its feedback has settled. */
const WARM_UP_MS = 60
const WARM_UP_BATCHES = 20

/** Measures all rows, in turns, for about `seconds`. */
export async function measure(rows: readonly Row[], seconds: number): Promise<Times> {
  const columns: { row: Row; count: number; times: number[] }[] = []
  for (const row of rows) columns.push({ row, count: await warmUp(row), times: [] })
  // What the later rows taught the functions that they share has come to the first ones too after this.
  for (const column of columns) column.count = await warmUp(column.row)

  const end = performance.now() + seconds * 1000
  do {
    for (const { row, count, times } of columns) times.push((await batch(row, count)) / count)
  } while (performance.now() < end)
  return Object.fromEntries(columns.map(({ row, times }) => [row.name, summary(times)]))
}

/** Returns how many make a batch. */
async function warmUp(row: Row): Promise<number> {
  let [count, fastest, spent] = [1, Number.POSITIVE_INFINITY, 0]
  for (let batches = 0; spent < WARM_UP_MS || batches < WARM_UP_BATCHES; batches++) {
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

function summary(times: number[]): Time {
  const sorted = times.toSorted((a, b) => a - b).map((ms) => Math.round(ms * 1e7) / 10)
  return { min: sorted[0]!, median: sorted[sorted.length >> 1]! }
}
