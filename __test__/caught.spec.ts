// Greenlets that switch while a C++ exception is being handled on their stacks: an add-on calls JavaScript in a `catch` block, or
// in a destructor that an exception has called.

import anyTest from 'ava'
import { Greenlet } from '../js/index.ts'
import { type CaughtAddon, loadCaught } from './helpers/addon.ts'
import { printed, runProgram } from './helpers/program.ts'
import { hasCxx } from './helpers/shared-object.ts'

const { main } = Greenlet
const test = hasCxx ? anyTest : anyTest.skip
if (!hasCxx) anyTest('not tested, because this machine has no g++: C++ exceptions of greenlets', (t) => t.pass())

// The thread has a greenlet before the add-ons are loaded, so the second runtime must be found when its add-on is.
new Greenlet(() => 1).switch()
const addons = hasCxx ? { shared: loadCaught('shared'), own: loadCaught('own') } : undefined

const WAYS = ['inCatch', 'inTwoCatches', 'rethrown', 'inDestructor', 'after'] as const satisfies (keyof CaughtAddon)[]
const ORDERS = [
  [0, 1, 2, 3],
  [3, 2, 1, 0],
  [2, 0, 3, 1],
]

/** Greenlets that are suspended inside of `call`. */
function inside(call: (fn: () => unknown) => number, count: number): Greenlet[] {
  return Array.from({ length: count }, () => {
    const g = new Greenlet(() => call(() => main.switch('in')))
    g.switch()
    return g
  })
}

for (const runtime of ['shared', 'own'] as const) {
  for (const way of WAYS) {
    test(`greenlets suspend while C++ handles an exception, and end in any order: ${way}, ${runtime} runtime`, (t) => {
      const addon = addons![runtime]
      for (const order of ORDERS) {
        const greenlets = inside(addon[way], 4)
        t.is(addon.none(), 0, 'main handles nothing')
        t.is(new Greenlet(() => addon.none()).switch(), 0, 'a new greenlet handles nothing')
        for (const i of order) t.is(greenlets[i]!.switch(), 0)
        t.true(greenlets.every((g) => g.dead))
      }
    })
  }

  test(`greenlets in different places take turns: ${runtime} runtime`, (t) => {
    const addon = addons![runtime]
    const wrong: number[] = []
    const greenlets = WAYS.map(
      (way) =>
        new Greenlet(() => {
          for (let i = 0; i < 3; i++) wrong.push(addon[way](() => (main.switch(), addon.none(), main.switch())))
        }),
    )
    while (!greenlets.every((g) => g.dead)) {
      for (const g of greenlets) if (!g.dead) g.switch()
      greenlets.push(greenlets.shift()!)
    }
    t.deepEqual(wrong, Array<number>(15).fill(0))
  })

  test(`main is in a handler while it switches: ${runtime} runtime`, (t) => {
    const addon = addons![runtime]
    for (const way of WAYS) {
      const [first, second] = inside(addon[way], 2)
      t.is(
        addon[way](() => t.is(first!.switch(), 0)),
        0,
        way,
      )
      t.is(second!.switch(), 0, way)
    }
  })
}

test('a handler of one runtime lies inside of a handler of another one', (t) => {
  const { shared, own } = addons!
  const greenlets = [0, 1, 2].map(
    () => new Greenlet(() => [shared.inCatch(() => handleIn(own)), shared.none(), own.none()]),
  )
  for (const g of greenlets) g.switch()
  for (const g of greenlets) t.deepEqual(g.switch(), [0, 0, 0])
})

function handleIn(addon: CaughtAddon): void {
  if (addon.inTwoCatches(() => main.switch()) !== 0) throw new Error('the inner handler is wrong')
}

test('an error goes through a handler', (t) => {
  const { shared } = addons!
  for (const way of WAYS) {
    const [first, second, third] = inside(shared[way], 3)
    t.throws(() => first!.throw(new RangeError('thrown in')), { message: 'thrown in' }, way)
    second!.kill()
    t.is(third!.switch(), 0, way)
    t.is(shared.none(), 0, way)
  }
})

test('greenlets suspend in handlers while their stacks are copied away', async (t) => {
  const source = `
    const { loadCaught } = await import('./__test__/helpers/addon.ts')
    const addon = loadCaught()
    const run = (way) => () => addon[way](() => main.switch())
    const all = ['inCatch', 'inDestructor', 'rethrown', 'inCatch', 'inTwoCatches'].map((way) => new Greenlet(run(way)))
    for (const g of all) g.switch()
    console.log(...all.map((g) => g.switch()), addon.none())`
  const ending = await runProgram(source, { env: { GREENLETS_SPILL: 'always', GREENLETS_POISON: '1' } })
  t.deepEqual(ending, printed('0 0 0 0 0 0\n'))
})

for (const end of ['', 'process.exit()', 'new Greenlet(() => addon.inCatch(() => process.exit())).switch()']) {
  test(`a thread ends while greenlets are suspended in handlers: ${end || 'nothing is left to do'}`, async (t) => {
    const source = `
      const { loadCaught } = await import('./__test__/helpers/addon.ts')
      const addon = loadCaught()
      for (const way of ['inCatch', 'inDestructor', 'rethrown', 'inCatch']) new Greenlet(() => addon[way](() => main.switch())).switch()
      ${end}`
    t.deepEqual(await runProgram(source), printed(''))
  })
}
