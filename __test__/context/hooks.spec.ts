// async_hooks: a program that watches async resources sees greenlets as ordinary resources.

import test from 'ava'
import { AsyncResource, createHook, executionAsyncId, executionAsyncResource } from 'node:async_hooks'
import { Greenlet, spawn, wait } from '../../js/index.ts'
import { collect } from '../helpers/collect.ts'
import { later, turn } from '../helpers/promises.ts'
import { runProgram } from '../helpers/program.ts'
import { haveSameItems } from '../helpers/identity.ts'
import { away, nested, surroundings } from '../helpers/surroundings.ts'

const { main } = Greenlet

/** The hook calls for resources of one type. */
class Watch {
  readonly made = new Map<number, string>()
  readonly destroyed = new Set<number>()
  readonly open: number[] = []
  readonly misnested: number[] = []
  befores = 0
  #hook = createHook({
    init: (id, type) => this.made.set(id, type),
    before: (id) => {
      this.befores++
      this.open.push(id)
      if (executionAsyncId() !== id) this.misnested.push(id)
    },
    after: (id) => {
      // These callbacks began before the watch.
      if (this.open.length === 0) return
      if (this.open.pop() !== id || executionAsyncId() !== id) this.misnested.push(id)
    },
    destroy: (id) => this.destroyed.add(id),
  }).enable()

  ids(type: string): number[] {
    return [...this.made].filter(([, kind]) => kind === type).map(([id]) => id)
  }

  [Symbol.dispose](): void {
    this.#hook.disable()
  }
}

test.serial('before and after are balanced and nested, whatever scopes are open across a switch', async (t) => {
  using watch = new Watch()
  const run = (rounds: number) => () => {
    for (let k = 0; k < rounds; k++) {
      new AsyncResource('X').runInAsyncScope(() => {
        away()
        new AsyncResource('Y').runInAsyncScope(() => away())
        away()
      })
      away()
    }
  }
  const greenlets = [2, 4, 3].map((rounds) => new Greenlet(run(rounds)))
  const depth = watch.open.length
  for (let k = 0; greenlets.some((g) => !g.dead); k++) {
    for (const g of greenlets) {
      if (g.dead) continue
      const before = surroundings()
      g.switch()
      t.true(haveSameItems(before, surroundings()))
    }
    t.is(watch.open.length, k === 0 ? depth : watch.open.length)
    if (k % 3 === 0) await turn()
  }
  t.deepEqual(watch.misnested, [])
  t.is(watch.ids('GREENLET').length, 3)
  t.true(watch.befores > 40)
})

test.serial("a greenlet's resource is created, entered at each resume, and destroyed at its end", async (t) => {
  using watch = new Watch()
  const g = new Greenlet(() => [away(), away()])
  const id = g.gr_context!.asyncId()
  t.is(watch.made.get(id), 'GREENLET')
  const before = watch.befores
  g.switch()
  g.switch()
  t.is(watch.befores, before + 2)
  await turn()
  t.false(watch.destroyed.has(id))
  g.switch()
  await turn()
  t.true(g.dead)
  t.true(watch.destroyed.has(id))
})

test.serial('the resource is destroyed too if the greenlet is killed, fails or never starts', async (t) => {
  using watch = new Watch()
  const parked = new Greenlet(() => nested(2, () => main.switch()))
  parked.switch()
  const unstarted = new Greenlet(() => {})
  const failing = new Greenlet(() => {
    throw new Error('failed')
  })
  const ids = [parked, unstarted, failing].map((g) => g.gr_context!.asyncId())
  parked.kill()
  unstarted.kill()
  t.throws(() => failing.switch(), { message: 'failed' })
  await turn()
  t.deepEqual(
    ids.map((id) => watch.destroyed.has(id)),
    [true, true, true],
  )
  t.deepEqual(watch.misnested, [])
})

test.serial(
  'the resource of an unreachable unstarted greenlet is destroyed when the greenlet is collected',
  async (t) => {
    using watch = new Watch()
    const id = (() => new Greenlet(() => {}).gr_context!.asyncId())()
    for (let i = 0; i < 5 && !watch.destroyed.has(id); i++) {
      await collect()
      await turn()
    }
    t.true(watch.destroyed.has(id))
  },
)

test.serial('hooks can be enabled while greenlets are parked, and by a greenlet', async (t) => {
  const resource = new AsyncResource('EARLY')
  const g = new Greenlet(() => {
    resource.runInAsyncScope(() => {
      away()
      away()
    })
    away()
  })
  g.switch()
  {
    using watch = new Watch()
    const before = surroundings()
    g.switch()
    t.true(haveSameItems(before, surroundings()))
    t.deepEqual(watch.open, [])
    t.is(watch.befores, 2)
    t.deepEqual(watch.misnested, [])
  }
  g.switch()
  g.switch()
  t.true(g.dead)

  const enables = new Greenlet(() =>
    nested(2, () => {
      const watch = new Watch()
      away()
      nested(1, () => away())
      return watch
    }),
  )
  enables.switch()
  enables.switch()
  using watch = enables.switch<Watch>()
  t.deepEqual(watch.misnested, [])
  t.deepEqual(watch.open, [])
  await turn()
})

test.serial('spawn and wait enter and leave each resource in order', async (t) => {
  using watch = new Watch()
  const spawned = Array.from({ length: 5 }, (_, i) =>
    spawn(() => {
      const resource = executionAsyncResource()
      for (let k = 0; k < 3; k++) {
        wait(later(k, i % 3))
        nested(1, () => wait(null))
        if (executionAsyncResource() !== resource) return 'another'
      }
      return 'same'
    }),
  )
  t.deepEqual(await Promise.all(spawned), ['same', 'same', 'same', 'same', 'same'])
  t.deepEqual(watch.misnested, [])
})

test.serial('greenlets make no resources except their own', async (t) => {
  // The first greenlet of a thread may make some, and the first of a job differs from the second.
  new Greenlet(() => {}).switch()
  await turn()
  using watch = new Watch()
  const parked = [new Greenlet(away), new Greenlet(away)]
  for (const g of parked) g.switch()
  for (const g of parked) g.switch()
  t.deepEqual([...watch.made.values()], ['GREENLET', 'GREENLET'])
})

test('a hook cannot switch, and the value of the interrupted switch still arrives', async (t) => {
  const { code, stdout, stderr } = await runProgram(`
    import { createHook } from 'node:async_hooks'
    const other = new Greenlet(() => main.switch())
    other.switch()
    const codes = []
    const refused = (act) => {
      try {
        act()
        codes.push('went')
      } catch (error) {
        codes.push(error.code)
      }
    }
    let hooked = false
    const g = new Greenlet((x) => main.switch(x + 1) + 1)
    createHook({
      before(id) { if (id === g.gr_context.asyncId()) refused(() => other.switch()) },
      after(id) { if (id === g.gr_context.asyncId()) { refused(() => main.switch()); refused(() => other.throw(1)) } },
    }).enable()
    console.log(g.switch(1), g.switch(41), g.dead, codes.every((code) => code === 'ERR_GREENLET_FORBIDDEN'), codes.length)
  `)
  t.is(stderr, '')
  t.is(stdout, '2 42 true true 6\n')
  t.is(code, 0)
})

test('a promise is waited for after a hook could not wait for it', async (t) => {
  const { code, stdout, stderr } = await runProgram(`
    import { createHook } from 'node:async_hooks'
    let resolve
    const promise = new Promise((done) => (resolve = done))
    const g = new Greenlet(() => main.switch())
    const codes = new Set()
    const hook = createHook({
      before(id) { if (id === g.gr_context.asyncId()) refused() },
      after(id) { if (id === g.gr_context.asyncId()) refused() },
    })
    const refused = () => {
      try {
        wait(promise)
      } catch (error) {
        codes.add(error.code)
      }
    }
    hook.enable()
    g.switch()
    g.switch()
    hook.disable()
    const waiting = [1, 2].map((n) => spawn(() => [n, wait(promise)]))
    setImmediate(() => resolve('settled'))
    console.log(codes.has('ERR_GREENLET_FORBIDDEN'), JSON.stringify(await Promise.all(waiting)))
  `)
  t.is(stderr, '')
  t.is(stdout, 'true [[1,"settled"],[2,"settled"]]\n')
  t.is(code, 0)
})
