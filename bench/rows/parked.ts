/** Greenlets that are suspended below a number of plain functions, and the loop that resumes them. */

import { Greenlet } from '../../js/index.ts'

const { main } = Greenlet

/** A greenlet that is suspended in `bottom`, which is the last of `depth` nested functions. */
export function park(depth: number, bottom: () => unknown): Greenlet {
  const greenlet = new Greenlet(depth === 1 ? bottom : nest)
  greenlet.switch(depth - 1, bottom)
  return greenlet
}

function nest(levels: number, bottom: () => unknown): unknown {
  return levels === 1 ? bottom() : nest(levels - 1, bottom)
}

/** Sends each number plus one back to main, for ever. */
export function echo(): never {
  let x: number = main.switch<number>()
  for (;;) x = main.switch<number>(x + 1)
}

/** Main's side of `echo`. */
export function roundTrips(greenlet: Greenlet, count: number): number {
  let x = 0
  for (let i = 0; i < count; i++) x = greenlet.switch<number>(x)
  return x
}
