/** What is set beside what, and how far it may be off. */

import type { Figure, Figures } from './rig.ts'

export interface Comparison {
  readonly what: string
  readonly against?: string
  /** What the ratio should be at most. */
  readonly target?: number
  /** The last Node that the target is meant for: on later ones the peer is another one. */
  readonly upTo?: number
  /** What `what` alone should be at most, in the unit of its section. */
  readonly limit?: number
  /** A row whose time is part of `what`'s and is taken off. */
  readonly less?: string
  /** In the README's table too. */
  readonly telling?: boolean
}

export type Unit = 'ns' | 'bytes'

export interface Section {
  readonly title: string
  readonly note: string
  readonly unit: Unit
  readonly comparisons: readonly Comparison[]
}

/** So many greenlets are suspended in a process of its own. The last number needs gigabytes of memory; see `greenlets.bench.ts`. */
export const CROWDS = [10_000, 100_000, 1_000_000] as const
/** Those whose stacks are all visited too, for comparison. */
export const VISITED: readonly number[] = [10_000, 100_000]
/** Those whose memory is told. */
export const WEIGHED: readonly number[] = [100_000, 1_000_000]

const telling = true
const rest = [10, 100, 1000]
/** Nanoseconds for a capture at these depths. */
const RAW_CAPTURE: Readonly<Record<number, number>> = { 10: 3000, 100: 20_000, 1000: 200_000 }

export const SECTIONS: readonly Section[] = [
  {
    title: 'Switch, there and back',
    note:
      'main switches to a greenlet that is N plain functions deep, which switches back, each with a number. `await` is one ' +
      'of a number, in a loop in one async function; `await, depth N` calls N async functions, awaits in the innermost and ' +
      'returns through all; `next()` resumes a generator through N-1 `yield*`; the native call is an empty one; python is its ' +
      'greenlet, in the same way; corosensei is its coroutine, from Rust, with nothing',
    unit: 'ns',
    comparisons: [
      { what: 'switch, depth 1', against: 'empty native call', target: 10, telling },
      { what: 'switch, depth 1', against: 'two native calls' },
      { what: 'switch, depth 1', against: 'await', target: 2, upTo: 24, telling },
      { what: 'switch, depth 1', against: 'await, depth 1' },
      { what: 'switch, depth 1', against: 'next(), depth 1', telling },
      { what: 'switch, depth 1', against: 'python: switch, depth 1', telling },
      { what: 'switch, depth 1', against: 'corosensei: switch', telling },
      ...rest.flatMap((depth) => [
        { what: `switch, depth ${depth}`, against: 'switch, depth 1', target: 1.1, telling: depth === 1000 },
        { what: `switch, depth ${depth}`, against: 'await', target: 2, upTo: 24 },
        { what: `switch, depth ${depth}`, against: `await, depth ${depth}`, telling: depth !== 1000 },
        { what: `switch, depth ${depth}`, against: `next(), depth ${depth}`, telling: depth !== 1000 },
        { what: `switch, depth ${depth}`, against: `python: switch, depth ${depth}`, telling: depth === 1000 },
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
      { what: 'switch, looked at', against: 'switch, depth 10', target: 1.05, telling },
      { what: 'switch, among 1000', against: 'switch, depth 10' },
      ...CROWDS.flatMap((count) => [
        {
          what: `switch, among ${count}`,
          against: `switch, none of ${count}`,
          target: 1.5,
          telling: count === 1_000_000,
        },
        { what: `switch, to each of ${count}`, against: `switch, none of ${count}` },
      ]),
    ],
  },
  {
    title: 'A whole life: create, run, finish',
    note: 'each is given a number, and comes to one more without being suspended; the async function is awaited',
    unit: 'ns',
    comparisons: [
      { what: 'greenlet life', against: 'async function life', limit: 1000, telling },
      { what: 'greenlet life', against: 'generator life' },
      { what: 'greenlet life', against: 'python: life', telling },
    ],
  },
  {
    title: 'A call that blocks',
    note: '10 plain functions and a wait() of a promise in the innermost; 10 async functions and an await of one',
    unit: 'ns',
    comparisons: [
      { what: 'wait() below 10 functions', against: 'await below 10 async functions', target: 0.2, telling },
    ],
  },
  {
    title: 'Reading a suspended stack',
    note:
      'captured, with its frames made, and with the names of all of them read; `new Error()` and `error.stack` in a function ' +
      "that stands just as deep in a greenlet, with Error.stackTraceLimit = Infinity; python's frames by gr_frame and f_back",
    unit: 'ns',
    comparisons: rest.flatMap((depth) => {
      const less = `switch, depth ${depth}`
      const error = `new Error(), depth ${depth}`
      return [
        { what: `gr_stack, depth ${depth}`, against: error, less, limit: RAW_CAPTURE[depth]!, telling },
        { what: `gr_stack.length, depth ${depth}`, against: error, less },
        { what: `gr_stack.length, depth ${depth}`, against: `python: frames, depth ${depth}`, less },
        {
          what: `functionNames, depth ${depth}`,
          against: `error.stack, depth ${depth}`,
          less,
          telling: depth === 10,
        },
      ]
    }),
  },
  {
    title: 'The core without an engine',
    note:
      'in Rust, with NullHost and the switch that the addon has: there and back, a whole life, and two stacks of 2 KB that share a ' +
      'slot: what the turns take longer than with a slot each',
    unit: 'ns',
    comparisons: [
      { what: 'core: switch', against: 'corosensei: switch' },
      { what: 'core: life' },
      { what: 'core: spill and unspill', limit: 200, telling },
    ],
  },
  {
    title: 'Memory of each that is suspended, depth 3',
    note: 'growth of the process while they are made, over their number: stacks, handles, objects, garbage, everything',
    unit: 'bytes',
    comparisons: [
      ...WEIGHED.flatMap((count) => [
        { what: `memory, ${count}`, against: `async function: memory, ${count}`, limit: 3072, telling },
        { what: `memory, ${count}`, against: `python: memory, ${count}`, telling: count === 1_000_000 },
        { what: `memory after a collection, ${count}`, against: `async function: memory after a collection, ${count}` },
      ]),
      { what: 'core: memory, 1000000', limit: 700, telling },
    ],
  },
  {
    title: 'Collections with suspended greenlets that did not run since the last one',
    note: 'the young generation is empty, so this is all that the greenlets add; "visited" is with GREENLETS_SCAN=all',
    unit: 'ns',
    comparisons: [
      ...CROWDS.map((count) => ({
        what: `minor collection, ${count}`,
        against: `minor collection, none of ${count}`,
        target: 1.5,
        telling,
      })),
      ...VISITED.map((count) => ({
        what: `minor collection, ${count} visited`,
        against: `minor collection, none of ${count}`,
      })),
      ...CROWDS.map((count) => ({
        what: `full collection, ${count}`,
        against: `full collection, none of ${count}`,
        telling: count === 100_000,
      })),
    ],
  },
]

export interface Outcome {
  readonly ours: Figure
  readonly peer: Figure | undefined
  /** Of the minima; undefined where there is no peer. */
  readonly ratio: number | undefined
  /** Undefined where nothing is asked for. */
  readonly met: boolean | undefined
}

/** Undefined where one of the two was not measured. `node` is the major version. */
export function compare(comparison: Comparison, figures: Figures, node: number): Outcome | undefined {
  const { what, against, limit, less } = comparison
  const all = figures[what]
  const part = less === undefined ? { min: 0, median: 0 } : figures[less]
  const peer = against === undefined ? undefined : figures[against]
  if (all === undefined || part === undefined || (against !== undefined && peer === undefined)) return undefined
  const ours = { min: all.min - part.min, median: all.median - part.median }
  const ratio = peer && ours.min / peer.min
  const target = targetFor(comparison, node)
  const verdicts: boolean[] = []
  // As precise as it is printed.
  if (target !== undefined && ratio !== undefined) verdicts.push(Math.round(ratio * 100) <= target * 100)
  if (limit !== undefined) verdicts.push(Math.round(ours.min) <= limit)
  return { ours, peer, ratio, met: verdicts.length === 0 ? undefined : verdicts.every(Boolean) }
}

export function targetFor({ target, upTo = Number.POSITIVE_INFINITY }: Comparison, node: number): number | undefined {
  return node <= upTo ? target : undefined
}
