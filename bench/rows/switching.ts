/** Round trips with a number: from one side to the other and back. */

import { main, thread } from '../../js/core/thread.ts'
import Fiber from '../../js/fibers/index.ts'
import { Greenlet } from '../../js/index.ts'
import { mail, TARGET_GENERATION, TARGET_INDEX } from '../../js/native/contract.ts'
import { loadEmpty } from '../peers/empty.ts'
import type { Row } from '../rig.ts'
import { echo, park, roundTrips } from './parked.ts'

export const DEPTHS = [1, 10, 100, 1000] as const

export function switchingRows(): Row[] {
  return [
    nativeCall(),
    floor(),
    { name: 'await', run: leafAwait },
    ...DEPTHS.flatMap((depth) => [switching(depth), awaiting(depth), yielding(depth)]),
    fiber(),
    lookedAt(),
    amongOthers(),
  ]
}

export function switching(depth: number): Row {
  const greenlet = park(depth, echo)
  return { name: `switch, depth ${depth}`, run: (count) => roundTrips(greenlet, count) }
}

/** `run()` and `Fiber.yield()`, with a number each. */
function fiber(): Row {
  const fiber = Fiber((x: number) => {
    for (;;) x = Fiber.yield<number>(x + 1)
  })
  fiber.run(0)
  return {
    name: 'fiber, run and yield',
    run(count) {
      let x = 0
      while (x < count) x = fiber.run<number>(x)
      return x
    },
  }
}

/** A native function that does nothing. */
function nativeCall(): Row {
  const empty = loadEmpty()
  return {
    name: 'empty native call',
    run(count) {
      let done = 0
      while (done < count) {
        empty()
        done++
      }
      return done
    },
  }
}

/** The native call of a switch, twice, to the running stack itself: all the work around a switch, without the switch. */
function floor(): Row {
  const native = thread.native
  return {
    name: 'two native calls',
    run(count) {
      mail[TARGET_INDEX] = main.index
      mail[TARGET_GENERATION] = main.generation
      let done = 0
      while (done < count) {
        native.switch()
        native.switch()
        done++
      }
      return done
    },
  }
}

async function leafAwait(count: number): Promise<number> {
  let x = 0
  for (let i = 0; i < count; i++) x = (await x) + 1
  return x
}

/** Passes a value from below `depth` async functions to above them. They have to be called again each time. */
function awaiting(depth: number): Row {
  return {
    name: `await, depth ${depth}`,
    async run(count) {
      let x = 0
      for (let i = 0; i < count; i++) x = await awaitBelow(depth, x)
      return x
    },
  }
}

async function awaitBelow(depth: number, x: number): Promise<number> {
  return depth === 1 ? (await x) + 1 : await awaitBelow(depth - 1, x)
}

/** Resumes a generator `depth` levels down, through `yield*`. */
function yielding(depth: number): Row {
  const generator = depth === 1 ? generatorEcho() : delegate(depth)
  generator.next()
  return {
    name: `next(), depth ${depth}`,
    run(count) {
      let x = 0
      for (let i = 0; i < count; i++) x = generator.next(x).value
      return x
    },
  }
}

function* generatorEcho(): Generator<number, never, number> {
  let x = yield 0
  for (;;) x = yield x + 1
}

function* delegate(depth: number): Generator<number, never, number> {
  return yield* depth === 2 ? generatorEcho() : delegate(depth - 1)
}

/** All frames of the greenlet are read before each batch. */
function lookedAt(): Row {
  const greenlet = park(10, echo)
  return {
    name: 'switch, looked at',
    before() {
      if (greenlet.gr_stack.map((frame) => frame.functionName).length !== 10)
        throw new Error('not parked as it should be')
    },
    run: (count) => roundTrips(greenlet, count),
  }
}

/** A thousand more greenlets are parked during its batches. */
function amongOthers(): Row {
  const greenlet = park(10, echo)
  let others: Greenlet[] = []
  return {
    name: 'switch, among 1000',
    before() {
      others = Array.from({ length: 1000 }, () => park(10, () => Greenlet.main.switch()))
    },
    run: (count) => roundTrips(greenlet, count),
    after() {
      for (const other of others) other.switch()
    },
  }
}
