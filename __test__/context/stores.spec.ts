// AsyncLocalStorage: a store belongs to the greenlet in which it was set.

import test from 'ava'
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import { Greenlet, sleep, spawn, wait } from '../../js/index.ts'
import { later, turn } from '../helpers/promises.ts'
import { haveSameItems } from '../helpers/identity.ts'
import { away, surroundings } from '../helpers/surroundings.ts'

const { main } = Greenlet
const one = new AsyncLocalStorage<unknown>()
const two = new AsyncLocalStorage<unknown>()

test('a store of run() around a switch is not visible to the resumer', (t) => {
  const g = new Greenlet(() =>
    one.run('inside', () => {
      const seen = one.getStore()
      return [seen, main.switch(seen), one.getStore()]
    }),
  )
  t.is(g.switch(), 'inside')
  t.is(one.getStore(), undefined)
  t.deepEqual(g.switch('back'), ['inside', 'back', 'inside'])
  t.is(one.getStore(), undefined)
})

test('a store of enterWith() in a greenlet is not visible to the resumer, and lasts', (t) => {
  const g = new Greenlet(() => {
    one.enterWith('entered')
    main.switch()
    return one.getStore()
  })
  g.switch()
  t.is(one.getStore(), undefined)
  t.is(g.switch(), 'entered')
  t.is(one.getStore(), undefined)
})

test('a store of enterWith() on main is not visible to a suspended greenlet', async (t) => {
  const g = new Greenlet(() => {
    main.switch()
    return one.getStore()
  })
  g.switch()
  await one.run('outer', async () => {
    one.enterWith('main')
    await turn()
    t.is(g.switch(), undefined)
    t.is(one.getStore(), 'main')
  })
})

test('a new greenlet has the stores of its creator, no matter which greenlet starts it', (t) => {
  const g = one.run('creator', () => new Greenlet(() => [one.getStore(), main.switch(), one.getStore()]))
  one.run('starter', () => {
    g.switch()
    t.is(one.getStore(), 'starter')
  })
  t.deepEqual(g.switch(), ['creator', undefined, 'creator'])
})

test('a greenlet that is started by the end of another one has the stores of its creator', (t) => {
  const parent = one.run('parent', () => new Greenlet((brought: unknown) => [brought, one.getStore()]))
  const g = one.run('first', () => new Greenlet(() => one.getStore(), { parent }))
  t.deepEqual(g.switch(), ['first', 'parent'])
  t.is(one.getStore(), undefined)
})

test('a greenlet keeps its own stores of storages that were made after it', (t) => {
  const g = new Greenlet(() => {
    const late = new AsyncLocalStorage<number>()
    late.enterWith(7)
    main.switch(late)
    return late.getStore()
  })
  const late = g.switch<AsyncLocalStorage<number>>()
  t.is(late.getStore(), undefined)
  t.is(g.switch(), 7)
})

test('nested stores of two storages are restored in order', (t) => {
  const g = new Greenlet(() => {
    away('plain', one, two)
    one.run({ n: 1 }, () =>
      two.run('two', () => {
        away('both', one, two)
        one.run({ n: 2 }, () => {
          away('inner', one, two)
          one.enterWith({ n: 3 })
          away('entered', one, two)
        })
        away('outer', one, two)
      }),
    )
    away('none', one, two)
    return [one.getStore(), two.getStore()]
  })
  const before = surroundings(one, two)
  for (const stop of ['plain', 'both', 'inner', 'entered', 'outer', 'none']) {
    t.is(g.switch(), stop)
    t.true(haveSameItems(before, surroundings(one, two)))
  }
  t.deepEqual(g.switch(), [undefined, undefined])
})

test('50 interleaved greenlets keep their stores and finish out of order', (t) => {
  const before = surroundings(one)
  const run = (i: number) => () => {
    for (let round = 0; round < 3 + (i % 7); round++) {
      one.run({ i, round }, () => {
        away(undefined, one)
        const resource = new AsyncResource(`R${i}`)
        resource.runInAsyncScope(() => {
          away(undefined, one)
          const { i: mine } = one.getStore() as { i: number }
          if (mine !== i) throw new Error(`${i} has the store of ${mine}`)
        })
        away(undefined, one)
      })
    }
    return i
  }
  const living = Array.from({ length: 50 }, (_, i) => new Greenlet(run(i)))
  const results: unknown[] = []
  for (let seed = 12345; living.length > 0;) {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    const place = seed % living.length
    const g = living[place]!
    const result = g.switch()
    t.true(haveSameItems(before, surroundings(one)))
    if (!g.dead) continue
    results.push(result)
    living.splice(place, 1)
  }
  t.is(new Set(results).size, 50)
})

test('greenlets that resume greenlets keep their stores apart', (t) => {
  const inner = new Greenlet(() => one.run('inner', () => [1, 2, 3].map((n) => main.switch(n) && one.getStore())))
  const outer = new Greenlet(() =>
    one.run('outer', () => {
      const seen: unknown[] = []
      inner.parent = Greenlet.current
      inner.switch()
      seen.push(one.getStore())
      away(undefined, one)
      seen.push(one.getStore())
      return seen
    }),
  )
  outer.switch()
  inner.switch('go')
  inner.switch('go')
  t.is(outer.state, 'suspended')
  const fromInner: unknown[] = []
  const end = new Greenlet((value: unknown) => fromInner.push(value, one.getStore()))
  inner.parent = end
  inner.switch('go')
  t.deepEqual(fromInner, [['inner', 'inner', 'inner'], undefined])
  t.is(one.getStore(), undefined)
})

test('an error that leaves a greenlet or is thrown into it leaves no store behind', (t) => {
  const fails = new Greenlet(() =>
    one.run('fails', () => {
      main.switch()
      throw new Error('out')
    }),
  )
  fails.switch()
  t.throws(() => fails.switch(), { message: 'out' })
  t.is(one.getStore(), undefined)

  const catches = new Greenlet(() => {
    const seen: unknown[] = []
    try {
      one.run('outer', () => new AsyncResource('R').runInAsyncScope(() => one.run('inner', () => main.switch())))
    } catch (error) {
      seen.push((error as Error).message, one.getStore())
    }
    main.switch()
    return [...seen, one.getStore()]
  })
  catches.switch()
  catches.throw(new Error('in'))
  t.is(one.getStore(), undefined)
  t.deepEqual(catches.switch(), ['in', undefined, undefined])
})

test('kill() runs finally blocks with the stores of the greenlet', (t) => {
  const seen: unknown[] = []
  const g = new Greenlet(() =>
    one.run('outer', () => {
      try {
        one.run('inner', () => {
          try {
            main.switch()
          } finally {
            seen.push(one.getStore())
          }
        })
      } finally {
        seen.push(one.getStore())
      }
    }),
  )
  g.switch()
  one.run('killer', () => {
    g.kill()
    seen.push(one.getStore())
  })
  t.deepEqual(seen, ['inner', 'outer', 'killer'])
})

test('a spawned greenlet keeps the stores of its creator across waits and sleeps', async (t) => {
  const work = (i: number) => () => {
    for (let n = 0; n < 3; n++) {
      t.is(wait(later(n, (i * 7 + n) % 4)), n)
      t.is(one.getStore(), i)
      two.run(n, () => {
        wait(Promise.resolve())
        sleep(i % 3)
        t.is(two.getStore(), n)
      })
    }
    return two.getStore()
  }
  const spawned = Array.from({ length: 20 }, (_, i) => one.run(i, () => spawn(work(i))))
  t.deepEqual(await Promise.all(spawned), Array.from({ length: 20 }))
  t.is(one.getStore(), undefined)
})

test('callbacks that a greenlet starts have its store', async (t) => {
  const seen: [string, unknown][] = []
  const note = (what: string) => () => seen.push([what, one.getStore()])
  const greenlets = Array.from(
    { length: 10 },
    (_, i) =>
      new Greenlet(() =>
        one.run(i, () => {
          main.switch()
          void Promise.resolve().then(note(`then ${i}`))
          setTimeout(note(`timeout ${i}`), 1)
          setImmediate(note(`immediate ${i}`))
          process.nextTick(note(`tick ${i}`))
          queueMicrotask(note(`microtask ${i}`))
          const job = (async () => {
            await Promise.resolve()
            note(`await ${i}`)()
            await later(0, 1)
            note(`await timer ${i}`)()
          })()
          main.switch()
          void job.then(note(`after job ${i}`))
          const bound = AsyncResource.bind(note(`bound ${i}`))
          setImmediate(() => one.run('other', () => bound()))
          main.switch()
        }),
      ),
  )
  for (let round = 0; round < 4; round++) {
    for (const g of greenlets) g.switch()
    await turn()
  }
  await later(0, 20)
  t.is(seen.length, 90)
  t.deepEqual(
    seen.filter(([what, store]) => !what.endsWith(` ${String(store)}`)),
    [],
  )
})

test('jobs, timers, ticks and immediates with stores of their own may resume a greenlet', async (t) => {
  const g = new Greenlet(() =>
    one.run('own', () => {
      for (let i = 0; i < 20; i++) {
        away(undefined, one)
        if (i % 3 === 0) new AsyncResource('R').runInAsyncScope(() => away(undefined, one))
      }
      return one.getStore()
    }),
  )
  g.switch()
  let result: unknown
  let steps = 0
  const step = (name: string): void => {
    const before = surroundings(one)
    t.is(one.getStore(), name)
    if (!g.dead) result = g.switch()
    t.true(haveSameItems(before, surroundings(one)))
    steps++
  }
  for (let i = 0; i < 6; i++) {
    const name = `callback ${i}`
    one.run(name, () => {
      void Promise.resolve().then(() => step(name))
      setTimeout(step, 1, name)
      setImmediate(step, name)
      process.nextTick(step, name)
      void (async () => {
        await Promise.resolve()
        step(name)
      })()
    })
    await later(0, 3)
  }
  // After a pause of the machine several timers come before any immediate.
  await turn()
  t.is(steps, 30)
  t.true(g.dead)
  t.is(result, 'own')
})

test('AsyncResource.bind() runs with the stores of its creation, in any greenlet', (t) => {
  const bound = one.run('bound', () => AsyncResource.bind(() => [one.getStore(), main.switch(), one.getStore()]))
  const g = new Greenlet(() => one.run('own', () => [...bound(), one.getStore()]))
  g.switch()
  t.is(one.getStore(), undefined)
  t.deepEqual(g.switch(), ['bound', undefined, 'bound', 'own'])
})
