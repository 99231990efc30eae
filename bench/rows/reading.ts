/**
 * Reading a suspended stack, and `new Error()` in a function that is as deep as the innermost function of that stack.
 *
 * A stack is captured only once until its greenlet is resumed. So each measurement resumes the greenlet first: its time
 * includes a round trip, which the tables subtract.
 */

import { Greenlet } from '../../js/index.ts'
import type { Row } from '../rig.ts'
import { echo, park } from './parked.ts'

export const READING_DEPTHS = [10, 100, 1000] as const

const { main } = Greenlet
/** An export, so that a compiler must assume that the value is used. */
export let sink: unknown

export function readingRows(): Row[] {
  return READING_DEPTHS.flatMap((depth) => {
    const greenlet = park(depth, echo)
    return [
      { name: `gr_stack, depth ${depth}`, run: (count) => captures(greenlet, count) },
      { name: `gr_stack.length, depth ${depth}`, run: (count) => lengths(greenlet, depth, count) },
      { name: `functionNames, depth ${depth}`, run: (count) => names(greenlet, depth, count) },
      newErrors(`new Error(), depth ${depth}`, park(depth, errors)),
      newErrors(`error.stack, depth ${depth}`, park(depth, errorStacks)),
    ]
  })
}

function captures(greenlet: Greenlet, count: number): number {
  let x = 0
  for (let i = 0; i < count; i++) {
    x = greenlet.switch<number>(x)
    sink = greenlet.gr_stack
  }
  return x
}

function lengths(greenlet: Greenlet, depth: number, count: number): number {
  let [x, frames] = [0, 0]
  for (let i = 0; i < count; i++) {
    x = greenlet.switch<number>(x)
    frames += greenlet.gr_stack.length
  }
  return frames === depth * count ? x : Number.NaN
}

function names(greenlet: Greenlet, depth: number, count: number): number {
  let [x, named] = [0, 0]
  for (let i = 0; i < count; i++) {
    x = greenlet.switch<number>(x)
    for (const frame of greenlet.gr_stack) if (frame.functionName !== null) named++
  }
  return named === depth * count ? x : Number.NaN
}

function newErrors(name: string, greenlet: Greenlet): Row {
  const limit = Error.stackTraceLimit
  return {
    name,
    before() {
      Error.stackTraceLimit = Number.POSITIVE_INFINITY
    },
    run: (count) => greenlet.switch<number>(count),
    after() {
      Error.stackTraceLimit = limit
    },
  }
}

function errors(): never {
  for (let count: number = main.switch<number>(); ;) {
    let done = 0
    while (done < count) {
      sink = new Error()
      done++
    }
    count = main.switch<number>(done)
  }
}

function errorStacks(): never {
  for (let count: number = main.switch<number>(); ;) {
    let done = 0
    while (done < count) if (new Error().stack!.length > 0) done++
    count = main.switch<number>(done)
  }
}
