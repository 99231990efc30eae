// More greenlets than slots. All of them share one slot here, so every switch between two greenlets spills a stack.

import { AsyncLocalStorage } from 'node:async_hooks'
import test from 'ava'
import { configure, Greenlet, GreenletExit, runtimeInfo, sleep, spawn, wait } from '../../js/index.ts'
import { fastOnly, NO_SPILLING } from '../helpers/lane.ts'

const { main } = Greenlet
const spilling = fastOnly(test.serial, NO_SPILLING)

test.before('all greenlets share one slot', () => configure({ slots: 1 }))

/** Parks under `depth` frames, each with values that must survive. Returns the value it is sent. */
function descend(depth: number): unknown {
  const own = { depth, list: [depth, `at ${depth}`] }
  const brought = depth === 0 ? main.switch('parked') : [depth].map(() => descend(depth - 1))[0]
  if (own.depth !== depth || own.list[1] !== `at ${depth}`) throw new Error('something was lost')
  return brought
}

function park(depth: number): Greenlet {
  const greenlet = new Greenlet(() => descend(depth))
  greenlet.switch()
  return greenlet
}

spilling('any number of greenlets can share one slot', (t) => {
  const all = Array.from({ length: 100 }, (_, i) => park(i % 30))
  t.like(runtimeInfo(), { slots: 1, spilled: 99 })
  t.true(runtimeInfo().spilledBytes! > 99 * 1000)
  // The last greenlet is in the slot.
  const sizes = all.slice(0, -1).map((greenlet) => greenlet.stackSize)
  const sum = sizes.reduce((total, size) => total + size, 0)
  const bytes = runtimeInfo().spilledBytes!
  t.true(bytes < sum && bytes > 0.75 * sum, `the stacks have ${sum} bytes, the copies with their handles ${bytes}`)
  for (const [i, greenlet] of all.entries()) t.is(greenlet.switch(i), i)
  t.like(runtimeInfo(), { spilled: 0, spilledBytes: 0 })
})

spilling('a copy leaves out the native frames that V8 does not read, and the stack gets them back', (t) => {
  const all = Array.from({ length: 100 }, () => park(2))
  const { stackSize } = all[0]!
  const bytes = runtimeInfo().spilledBytes! / 99
  t.true(bytes < stackSize - 700, `a stack has ${stackSize} bytes, a copy ${bytes}`)
  for (const [i, greenlet] of all.entries()) t.is(greenlet.switch(i), i)
})

spilling('values and errors arrive in a greenlet that was spilled', (t) => {
  const [a, b] = [park(3), park(5)]
  t.deepEqual(a.switch('x', 'y'), ['x', 'y'])
  const error = new Error('into a copy')
  t.is(
    t.throws(() => b.throw(error)),
    error,
  )
  t.true(a.dead && b.dead)
})

spilling('the whole stack of a spilled greenlet can be read while it stays spilled', (t) => {
  const deep = new Greenlet(function outermost() {
    return descend(40)
  })
  deep.switch()
  const other = park(1)
  const { spilled } = runtimeInfo()
  const names = deep.gr_stack.map((frame) => frame.functionName)
  t.is(names.filter((name) => name === 'descend').length, 41)
  t.is(names.at(-1), 'outermost')
  t.is(deep.gr_frame?.functionName, 'descend')
  t.is(runtimeInfo().spilled, spilled)
  t.is(other.gr_stack.filter((frame) => frame.functionName === 'descend').length, 2)
  t.is(deep.switch('a'), 'a')
  t.is(other.switch('b'), 'b')
})

spilling('greenlets can start greenlets in the slot of their parent', (t) => {
  const nest = (depth: number): number => {
    const own = { depth }
    const child = new Greenlet(() => {
      const below = depth === 0 ? 0 : nest(depth - 1)
      Greenlet.current.parent!.switch(`${depth} waits`)
      return below + 1
    })
    t.is(child.switch(), `${depth} waits`)
    t.is(own.depth, depth)
    return child.switch() as number
  }
  t.is(nest(25), 26)
})

spilling('kill() runs the finally blocks of a spilled greenlet', (t) => {
  const log: number[] = []
  const all = Array.from({ length: 5 }, (_, i) => {
    const greenlet = new Greenlet(() => {
      try {
        descend(i)
      } catch (error) {
        t.true(error instanceof GreenletExit)
        throw error
      } finally {
        log.push(i)
      }
    })
    greenlet.switch()
    return greenlet
  })
  for (const greenlet of all) greenlet.kill()
  t.deepEqual(log, [0, 1, 2, 3, 4])
})

spilling('each spilled greenlet keeps its async context', async (t) => {
  const storage = new AsyncLocalStorage<number>()
  const all = Array.from({ length: 20 }, (_, i) =>
    storage.run(i, () =>
      spawn(() => {
        const seen = [storage.getStore()]
        for (let n = 0; n < 3; n++) {
          sleep(1)
          seen.push(storage.getStore())
        }
        return seen
      }),
    ),
  )
  for (const [i, seen] of (await Promise.all(all)).entries()) t.deepEqual(seen, [i, i, i, i])
})

spilling('a spilled greenlet may have more handles than fit into one block', (t) => {
  const text = JSON.stringify(Array.from({ length: 3000 }, (_, a) => ({ a: [a] })))
  const make = (stop: string): Greenlet =>
    new Greenlet(() => {
      const revive = (key: string, value: unknown): unknown => {
        if (key === stop) main.switch('stopped')
        return value
      }
      return (JSON.parse(text, revive) as { a: number[] }[])[2999]!.a[0]
    })
  const all = [make('2500'), make('10'), make('2999')]
  for (const greenlet of all) t.is(greenlet.switch(), 'stopped')
  for (const greenlet of all) t.is(greenlet.switch(), 2999)
})

spilling('hundreds of greenlets wait at the same time in one slot', async (t) => {
  const all = Array.from({ length: 300 }, (_, i) =>
    spawn(() => {
      let sum = 0
      for (let n = 0; n < 4; n++) sum += [n].map((x) => wait(Promise.resolve(x)) + descendNowhere(i % 20))[0]!
      return sum
    }),
  )
  const descendNowhere = (depth: number): number => (depth === 0 ? 0 : descendNowhere(depth - 1))
  t.deepEqual(new Set(await Promise.all(all)), new Set([6]))
})
