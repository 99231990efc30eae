/** What is set beside what, and how far it may be off. */

import type { Time, Times } from './rig.ts'

export interface Comparison {
  readonly what: string
  readonly against: string
  /** What the ratio should be at most. */
  readonly target?: number
  /** A row whose time is part of `what`'s and is taken off. */
  readonly less?: string
  /** In the README's table too. */
  readonly telling?: boolean
}

export interface Section {
  readonly title: string
  readonly note: string
  readonly comparisons: readonly Comparison[]
}

const telling = true
const rest = [10, 100, 1000]

export const SECTIONS: readonly Section[] = [
  {
    title: 'Switch, there and back',
    note:
      'main switches to a greenlet that is N plain functions deep, which switches back, each with a number. `await` is one ' +
      'of a number, in a loop in one async function; `await, depth N` calls N async functions, awaits in the innermost and ' +
      'returns through all; `next()` resumes a generator through N-1 `yield*`; a native call is one that finds nothing to do',
    comparisons: [
      { what: 'switch, depth 1', against: 'await', target: 3, telling },
      { what: 'switch, depth 1', against: 'two native calls' },
      { what: 'switch, depth 1', against: 'await, depth 1' },
      { what: 'switch, depth 1', against: 'next(), depth 1', telling },
      ...rest.flatMap((depth) => [
        { what: `switch, depth ${depth}`, against: 'switch, depth 1', target: 1.1, telling: depth === 1000 },
        { what: `switch, depth ${depth}`, against: 'await', target: 3 },
        { what: `switch, depth ${depth}`, against: `await, depth ${depth}`, telling: depth !== 1000 },
        { what: `switch, depth ${depth}`, against: `next(), depth ${depth}`, telling: depth !== 1000 },
      ]),
    ],
  },
  {
    title: 'The same, depth 10, after its stack was read, and with 1000 others parked',
    note: '`gr_stack` and the names of all its frames are read before each batch; the others are 10 functions deep too',
    comparisons: [
      { what: 'switch, looked at', against: 'switch, depth 10', target: 1.05, telling },
      { what: 'switch, among 1000', against: 'switch, depth 10', telling },
    ],
  },
  {
    title: 'A whole life: create, run, finish',
    note: 'each is given a number, and comes to one more without being suspended; the async function is awaited',
    comparisons: [
      { what: 'greenlet life', against: 'async function life', telling },
      { what: 'greenlet life', against: 'generator life', telling },
    ],
  },
  {
    title: 'A call that blocks',
    note: '10 plain functions and a wait() of a promise in the innermost; 10 async functions and an await of one',
    comparisons: [{ what: 'wait() below 10 functions', against: 'await below 10 async functions', telling }],
  },
  {
    title: 'Reading a suspended stack',
    note:
      'captured, with its frames made, and with the names of all of them read; `new Error()` and `error.stack` in a function ' +
      'that stands just as deep in a greenlet, with Error.stackTraceLimit = Infinity',
    comparisons: rest.flatMap((depth) => {
      const less = `switch, depth ${depth}`
      const error = `new Error(), depth ${depth}`
      return [
        { what: `gr_stack, depth ${depth}`, against: error, less, ...(depth === 10 && { target: 4, telling }) },
        { what: `gr_stack.length, depth ${depth}`, against: error, less },
        {
          what: `functionNames, depth ${depth}`,
          against: `error.stack, depth ${depth}`,
          less,
          telling: depth !== 1000,
        },
      ]
    }),
  },
]

export interface Outcome {
  readonly ours: Time
  readonly peer: Time
  /** Of the minima. */
  readonly ratio: number
  /** Undefined where there is no target. */
  readonly met: boolean | undefined
}

export function compare({ what, against, target, less }: Comparison, times: Times): Outcome {
  const all = timeOf(times, what)
  const part = less === undefined ? { min: 0, median: 0 } : timeOf(times, less)
  const ours = { min: all.min - part.min, median: all.median - part.median }
  const peer = timeOf(times, against)
  const ratio = ours.min / peer.min
  // As precise as it is printed.
  return { ours, peer, ratio, met: target === undefined ? undefined : Math.round(ratio * 100) <= target * 100 }
}

function timeOf(times: Times, name: string): Time {
  const time = times[name]
  if (time === undefined) throw new Error(`no row '${name}'; there are: ${Object.keys(times).join(', ')}`)
  return time
}
