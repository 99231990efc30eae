// Random scenarios for the tools: greenlets that use a tool, and a main that lets them run, kills, interrupts and aborts them
// at any moment, also between the moment when a greenlet gets its turn and the moment when it runs. There are no timers: time
// passes in jobs and in turns of the event loop. What a scenario finds is its seed and its smallest steps.

import fc from 'fast-check'
import { Greenlet, GreenletExit, spawn, type SpawnedGreenlet, wait } from '../../js/index.ts'
import { turn } from '../helpers/promises.ts'

export const SEED = Number(process.env['PROPERTY_SEED'] ?? Math.trunc(Math.random() * 2 ** 31))
const RUNS = Number(process.env['TOOLS_RUNS'] ?? 150)
/** More turns than the greenlets of any scenario need. */
const MOST_TURNS = 5000

/** One thing that main does. `n` and `m` say to which greenlet, or how often; a scenario knows more about them. */
export interface Step {
  readonly act: 'start' | 'kill' | 'interrupt' | 'abort' | 'job' | 'turn' | 'main'
  readonly n: number
  readonly m: number
}

const ACTS: readonly (readonly [Step['act'], number])[] = [
  ['start', 8],
  ['kill', 3],
  ['interrupt', 2],
  ['abort', 2],
  ['job', 3],
  ['turn', 4],
  ['main', 3],
]
const steps = fc.array(
  fc.record({
    act: fc.oneof(...ACTS.map(([act, weight]) => ({ arbitrary: fc.constant(act), weight }))),
    n: fc.nat(11),
    m: fc.nat(3),
  }),
  { maxLength: 60, size: 'max' },
)

/** A tool, and what must hold for it. Each function may throw. */
export interface Scenario {
  /** Runs in a new greenlet. */
  work(n: number, m: number, signal: AbortSignal): unknown
  /** What main does with the tool. */
  main?(n: number, m: number): void
  /** What holds after each step, on main. */
  check?(): void
  /** What holds when all that got their turn have run. */
  calm?(): void
  /** When no greenlet of the scenario is left to run by itself: lets those that wait for ever end. */
  finish?(): void
  /** What holds when all have ended. */
  end(): void
}

/** What the scenarios interrupt greenlets with, and what these may end with. */
export const INTERRUPTION = new Error('interrupted')
const REASON = new Error('aborted')

interface Worker {
  readonly greenlet: SpawnedGreenlet<unknown>
  readonly controller: AbortController
}

/** Errors that a scenario causes on purpose. */
export function isExpected(error: unknown): boolean {
  if (error === INTERRUPTION || error === REASON || error instanceof GreenletExit) return true
  if (error instanceof AggregateError) return error.errors.every(isExpected)
  return (error as { code?: unknown }).code === 'ERR_GREENLET_KILLED'
}

/** One that waits in its cleanup goes on ending. */
export function kill(greenlet: Greenlet): void {
  try {
    greenlet.kill()
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_GREENLET_KILL_REFUSED') throw error
  }
}

async function play(all: readonly Step[], scenario: Scenario): Promise<void> {
  const workers: Worker[] = []
  const problems: unknown[] = []
  const fail = (error: unknown): void => {
    if (!isExpected(error)) problems.push(error)
  }
  const settle = async (): Promise<void> => {
    for (let turns = 0; turns < 20; turns++) await turn()
  }
  for (const { act, n, m } of all) {
    const living = workers.filter(({ greenlet }) => !greenlet.dead)
    const worker = living[n % living.length]
    if (act === 'start') {
      const controller = new AbortController()
      const greenlet = spawn(() => scenario.work(n, m, controller.signal))
      greenlet.catch(fail)
      workers.push({ greenlet, controller })
    } else if (act === 'kill' && worker !== undefined) kill(worker.greenlet)
    else if (act === 'interrupt') worker?.greenlet.interrupt(INTERRUPTION)
    else if (act === 'abort') worker?.controller.abort(REASON)
    else if (act === 'job') await Promise.resolve()
    else if (act === 'turn') {
      await turn()
      // Everything that this turn has begun, in jobs.
      await turn()
      scenario.calm?.()
    } else if (act === 'main') scenario.main?.(n, m)
    scenario.check?.()
  }
  const ended = (): boolean => workers.every(({ greenlet }) => greenlet.dead)
  await settle()
  scenario.calm?.()
  for (let turns = 0; !ended(); turns++) {
    if (turns > MOST_TURNS)
      throw new Error(`a greenlet does not end:\n${workers.map(({ greenlet }) => greenlet.gr_stack).join('\n\n')}`)
    scenario.finish?.()
    await turn()
  }
  // The callbacks of their promises.
  await turn()
  scenario.end()
  if (problems.length > 0) throw new AggregateError(problems, problems.map(String).join('; '))
}

/** Plays random scenarios. Returns the smallest one that fails, with its error; undefined if none does. */
export async function explore(make: () => Scenario): Promise<string | undefined> {
  const property = fc.asyncProperty(steps, (all) => play(all, make()))
  const limits = { interruptAfterTimeLimit: 90_000, markInterruptAsFailure: false }
  const { failed, counterexample, errorInstance } = await fc.check(property, { seed: SEED, numRuns: RUNS, ...limits })
  if (!failed) return undefined
  const found = counterexample![0].map(({ act, n, m }) => `${act} ${n} ${m}`).join(', ')
  return `PROPERTY_SEED=${SEED} finds: ${found}\n${(errorInstance as Error).stack}`
}

/** Lets so many turns pass. */
export function hold(turns: number): void {
  for (let left = turns; left > 0; left--) wait(turn())
}

/** The order in which greenlets asked for their turn, to compare with the order in which they got it. */
export class Order {
  readonly #asked: Greenlet[] = []

  /** Calls `ask`, which may block. `waiting` is how many are in the tool's line, the last of those that asked. */
  through<T>(ask: () => T, waiting: () => number): T {
    const me = Greenlet.current
    this.#asked.push(me)
    try {
      const got = ask()
      const place = this.#asked.indexOf(me)
      if (place >= this.#asked.length - waiting()) throw new Error(`'${me.name}' overtook one that came before`)
      return got
    } finally {
      this.#asked.splice(this.#asked.indexOf(me), 1)
    }
  }
}
