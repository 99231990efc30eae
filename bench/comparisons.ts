/** The comparisons of the benchmark: which row is compared with which, and the target of each. */

import type { Figure, Figures } from './rig.ts'

export interface Comparison {
  readonly what: string
  readonly against?: string
  /** The target: the highest ratio. */
  readonly target?: number
  /** The last Node for which the target holds. On later ones the peer is implemented differently. */
  readonly upTo?: number
  /** The target for `what` alone, in the unit of its section. */
  readonly limit?: number
  /** A row whose time is included in that of `what` and is subtracted. */
  readonly minus?: string
  /** Whether the table in docs/performance.md has it. */
  readonly inTable?: boolean
}

export type Unit = 'ns' | 'bytes'

export interface Section {
  readonly title: string
  readonly note: string
  readonly unit: Unit
  readonly comparisons: readonly Comparison[]
}

/** The numbers of suspended greenlets, each in its own process. The last one needs gigabytes of memory; see `greenlets.bench.ts`. */
export const CROWDS = [10_000, 100_000, 1_000_000] as const
/** The numbers for which minor collections are also measured where they visit all stacks. */
export const VISITED: readonly number[] = [10_000, 100_000]
/** The numbers for which memory is reported. */
export const WITH_MEMORY: readonly number[] = [100_000, 1_000_000]

const inTable = true
const rest = [10, 100, 1000]
/** The target for a full collection with so many suspended stacks, in nanoseconds. */
const FULL: Readonly<Record<number, number>> = { 10_000: 6e6, 100_000: 40e6, 1_000_000: 600e6 }

export const SECTIONS: readonly Section[] = [
  {
    title: 'Switch, there and back',
    note:
      'main switches to a greenlet that is N plain functions deep, which switches back; each passes a number. `await` is one ' +
      'of a number, in a loop in one async function; `await, depth N` calls N async functions, awaits in the innermost and ' +
      'returns through all; `next()` resumes a generator through N-1 `yield*`; the native call is an empty one; python is its ' +
      'greenlet, in the same way; corosensei is its coroutine, from Rust, with nothing; own-switch is the same switch by an addon ' +
      'that is built with this feature',
    unit: 'ns',
    comparisons: [
      { what: 'switch, depth 1', against: 'empty native call', target: 12, inTable },
      { what: 'switch, depth 1', against: 'two native calls' },
      { what: 'switch, depth 1', against: 'await', target: 2, upTo: 24, inTable },
      { what: 'switch, depth 1', against: 'await, depth 1' },
      { what: 'switch, depth 1', against: 'next(), depth 1', inTable },
      { what: 'switch, depth 1', against: 'python: switch, depth 1', inTable },
      { what: 'switch, depth 1', against: 'corosensei: switch', inTable },
      { what: 'switch, depth 1', against: 'own-switch: switch, depth 1', inTable },
      { what: 'own-switch: switch, depth 1', against: 'empty native call', target: 10 },
      { what: 'fiber, run and yield', against: 'switch, depth 1', target: 1.4 },
      ...rest.flatMap((depth) => [
        { what: `switch, depth ${depth}`, against: 'switch, depth 1', target: 1.1, inTable: depth === 1000 },
        { what: `switch, depth ${depth}`, against: 'await', target: 2, upTo: 24 },
        { what: `switch, depth ${depth}`, against: `await, depth ${depth}`, inTable: depth !== 1000 },
        { what: `switch, depth ${depth}`, against: `next(), depth ${depth}`, inTable: depth !== 1000 },
        { what: `switch, depth ${depth}`, against: `python: switch, depth ${depth}`, inTable: depth === 1000 },
      ]),
    ],
  },
  {
    title: 'The same after its stack was read (depth 10), and with others parked',
    note:
      '`gr_stack` and the names of all its frames are read before each batch; the 1000 are 10 functions deep too; the crowds, of ' +
      'depth 3, have processes of their own, in which a switch is timed before and after they are there; "to each" means one ' +
      'after the other: all but 1024 are spilled, so that each switch copies one stack out and another one back',
    unit: 'ns',
    comparisons: [
      { what: 'switch, looked at', against: 'switch, depth 10', target: 1.05, inTable },
      { what: 'switch, among 1000', against: 'switch, depth 10' },
      ...CROWDS.flatMap((count) => [
        {
          what: `switch, among ${count}`,
          against: `switch, none of ${count}`,
          target: 1.5,
          inTable: count === 1_000_000,
        },
        { what: `switch, to each of ${count}`, against: `switch, none of ${count}` },
      ]),
    ],
  },
  {
    title: 'A whole life: create, run, finish',
    note: 'each gets a number and returns it plus one, without being suspended; the async function is awaited',
    unit: 'ns',
    comparisons: [
      { what: 'greenlet life', against: 'async function life', limit: 300, inTable },
      { what: 'greenlet life', against: 'generator life' },
      { what: 'fiber life', against: 'greenlet life' },
      { what: 'greenlet life', against: 'python: life', inTable },
    ],
  },
  {
    title: 'A call that blocks',
    note:
      '10 plain functions and a wait() of a promise in the innermost; 10 async functions and an await of one; a greenlet that is ' +
      'started by the event loop, waits for three settled promises and ends, and an async function',
    unit: 'ns',
    comparisons: [
      { what: 'wait() below 10 functions', against: 'await below 10 async functions', target: 0.3, inTable },
      { what: 'request with 3 waits', against: 'request with 3 awaits' },
    ],
  },
  {
    title: 'A request',
    note:
      "an Express app that answers Node's own request and response objects, without sockets, 100 at a time: the handler is a plain " +
      'function in a greenlet of the adapter, and async without the adapter; it waits for nothing, for three promises that the event loop ' +
      'settles, or below 20 functions for settled promises; spawn() of a function that waits for nothing. Processor time, with the ' +
      'collections of garbage',
    unit: 'ns',
    comparisons: [
      { what: 'Express, trivial', against: 'Express, async: trivial', target: 1.3, inTable },
      { what: 'Express, 3 waits', against: 'Express, async: 3 waits', target: 1.5, inTable },
      { what: 'Express, 1 wait below 20 functions', against: 'Express, async: 1 wait below 20 functions', target: 1 },
      {
        what: 'Express, 10 waits below 20 functions',
        against: 'Express, async: 10 waits below 20 functions',
        target: 0.5,
        inTable,
      },
      { what: 'spawn', against: 'promise of an immediate', target: 1.5 },
    ],
  },
  {
    title: 'Reading a suspended stack',
    note:
      'captured, with its frames made, and with the names of all of them read; `new Error()` and `error.stack` in a function ' +
      "that stands just as deep in a greenlet, with Error.stackTraceLimit = Infinity; python's frames by gr_frame and f_back",
    unit: 'ns',
    comparisons: rest.flatMap((depth) => {
      const minus = `switch, depth ${depth}`
      const error = `new Error(), depth ${depth}`
      return [
        { what: `gr_stack, depth ${depth}`, against: error, minus, target: 1.3, inTable },
        { what: `gr_stack.length, depth ${depth}`, against: error, minus },
        { what: `gr_stack.length, depth ${depth}`, against: `python: frames, depth ${depth}`, minus },
        {
          what: `functionNames, depth ${depth}`,
          against: `error.stack, depth ${depth}`,
          minus,
          inTable: depth === 10,
        },
      ]
    }),
  },
  {
    title: 'The core without an engine',
    note:
      'in Rust, with NullHost and the switch that the addon has: there and back, a whole life, and two stacks of 2 KB that share a ' +
      'slot: what the turns take longer than with a slot each; a switch of the Rust type Greenlet, with a value; from a coroutine ' +
      'of may to its scheduler and back',
    unit: 'ns',
    comparisons: [
      { what: 'core: switch', against: 'corosensei: switch' },
      { what: 'core: switch', against: 'own-switch: core: switch' },
      { what: 'greenlet: switch', against: 'core: switch' },
      { what: 'greenlet: switch', against: 'corosensei: switch' },
      { what: 'greenlet: switch', against: 'generator-rs: switch' },
      { what: 'greenlet: switch', against: 'may: yield' },
      { what: 'core: life' },
      { what: 'core: spill and unspill', limit: 200, inTable },
    ],
  },
  {
    title: 'Memory of each that is suspended, depth 3',
    note: 'growth of the process while they are made, divided by their number: stacks, handles, objects, garbage, everything',
    unit: 'bytes',
    comparisons: [
      ...WITH_MEMORY.flatMap((count) => [
        { what: `memory, ${count}`, against: `async function: memory, ${count}`, limit: 3072, inTable },
        { what: `memory, ${count}`, against: `python: memory, ${count}`, inTable: count === 1_000_000 },
        { what: `memory after a collection, ${count}`, against: `async function: memory after a collection, ${count}` },
      ]),
      { what: 'core: memory, 1000000', limit: 700, inTable },
    ],
  },
  {
    title: 'Collections with suspended greenlets that did not run since the last one',
    note: 'the young generation is empty, so this is all that the greenlets add; "objects as N" are plain objects that take as much of the heap as N greenlets; "visited" is with GREENLETS_SCAN=all; "after a full one": all of them ran, then came a full collection',
    unit: 'ns',
    comparisons: [
      ...CROWDS.map((count) => ({
        what: `minor collection, ${count}`,
        against: `minor collection, none of ${count}`,
        target: count === 1_000_000 ? undefined : 1.5,
        inTable,
      })),
      ...CROWDS.map((count) => ({
        what: `minor collection, ${count}`,
        against: `minor collection, objects as ${count}`,
        target: 1.5,
        inTable,
      })),
      ...CROWDS.map((count) => ({
        what: `minor collection, ${count} after a full one`,
        against: `minor collection, none of ${count}`,
      })),
      ...VISITED.map((count) => ({
        what: `minor collection, ${count} visited`,
        against: `minor collection, none of ${count}`,
      })),
      ...CROWDS.map((count) => ({
        what: `full collection, ${count}`,
        against: `full collection, none of ${count}`,
        inTable: count === 100_000,
      })),
      ...CROWDS.map((count) => ({
        what: `full collection, ${count}`,
        against: `full collection, ${count} visited`,
        target: 0.2,
        inTable: count === 100_000,
      })),
      ...CROWDS.map((count) => ({
        what: `full collection, ${count}`,
        against: `full collection, objects as ${count}`,
        limit: FULL[count]!,
      })),
      ...CROWDS.map((count) => ({
        what: `first full collection, ${count}`,
        against: `first full collection, ${count} visited`,
        target: 1.1,
      })),
    ],
  },
]

export interface Outcome {
  readonly ours: Figure
  readonly peer: Figure | undefined
  /** The ratio of the minima; undefined without a peer. */
  readonly ratio: number | undefined
  /** Undefined without a target. */
  readonly met: boolean | undefined
}

/** Undefined if one of the two was not measured. `node` is the major version. */
export function compare(comparison: Comparison, figures: Figures, node: number): Outcome | undefined {
  const { what, against, limit, minus } = comparison
  const all = figures[what]
  const part = minus === undefined ? { min: 0, median: 0 } : figures[minus]
  const peer = against === undefined ? undefined : figures[against]
  if (all === undefined || part === undefined || (against !== undefined && peer === undefined)) return undefined
  const ours = { min: all.min - part.min, median: all.median - part.median }
  const ratio = peer && ours.min / peer.min
  const target = targetFor(comparison, node)
  const verdicts: boolean[] = []
  // Rounded to the precision of the printed number.
  if (target !== undefined && ratio !== undefined) verdicts.push(Math.round(ratio * 100) <= target * 100)
  if (limit !== undefined) verdicts.push(Math.round(ours.min) <= limit)
  return { ours, peer, ratio, met: verdicts.length === 0 ? undefined : verdicts.every(Boolean) }
}

export function targetFor({ target, upTo = Number.POSITIVE_INFINITY }: Comparison, node: number): number | undefined {
  return node <= upTo ? target : undefined
}
