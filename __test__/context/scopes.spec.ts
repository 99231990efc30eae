// Node's stack of async ids: scopes that are open across a switch.

import test from 'ava'
import {
  AsyncLocalStorage,
  AsyncResource,
  executionAsyncId,
  executionAsyncResource,
  triggerAsyncId,
} from 'node:async_hooks'
import { Agent, request } from 'node:http'
import { Duplex } from 'node:stream'
import { Greenlet, wait } from '../../js/index.ts'
import { later } from '../helpers/promises.ts'
import { runProgram } from '../helpers/program.ts'
import { haveSameItems, sameItems } from '../helpers/identity.ts'
import { away, nested, surroundings } from '../helpers/surroundings.ts'

const { main } = Greenlet
const store = new AsyncLocalStorage<unknown>()

/** Switches to each greenlet in turn until all are dead; the surroundings must not change. */
function interleave(greenlets: Greenlet[], step = (go: () => unknown): unknown => go()): void {
  const before = surroundings(store)
  while (greenlets.some((g) => !g.dead)) {
    for (const g of greenlets) {
      if (g.dead) continue
      step(() => {
        const inside = surroundings(store)
        g.switch()
        if (!haveSameItems(inside, surroundings(store))) throw new Error('the surroundings have changed over a switch')
      })
      if (!haveSameItems(before, surroundings(store))) throw new Error('the surroundings have changed')
    }
  }
}

test('a greenlet has an async id, a trigger id and a resource of its own', (t) => {
  const mine = executionAsyncId()
  const g = new Greenlet(() => [
    executionAsyncId(),
    triggerAsyncId(),
    executionAsyncResource(),
    away('parked'),
    executionAsyncId(),
    executionAsyncResource(),
  ])
  t.is(g.switch(), 'parked')
  t.is(executionAsyncId(), mine)
  const context = g.gr_context!
  const id = context.asyncId()
  sameItems(t, g.switch<unknown[]>(), [id, mine, context, undefined, id, context])
  t.not(context.asyncId(), mine)
})

test('the trigger id is the async id of the creator', (t) => {
  const creator = new AsyncResource('CREATOR')
  const g = creator.runInAsyncScope(() => new Greenlet(() => triggerAsyncId()))
  t.is(g.switch(), creator.asyncId())
})

test('runInAsyncScope() works across interleaved switches', (t) => {
  const run = (rounds: number) => () => {
    for (let k = 0; k < rounds; k++) {
      const [a, b] = [new AsyncResource('A'), new AsyncResource('B')]
      a.runInAsyncScope(() => {
        away()
        b.runInAsyncScope(() => {
          away()
          t.is(executionAsyncResource(), b)
          t.is(executionAsyncId(), b.asyncId())
          t.is(triggerAsyncId(), b.triggerAsyncId())
        })
        away()
        t.is(executionAsyncResource(), a)
      })
      away()
    }
  }
  interleave([3, 5, 2].map((rounds) => new Greenlet(run(rounds))))
})

test('main may be in a scope of another depth each time', (t) => {
  const run = (): void => {
    for (let i = 0; i < 10; i++) {
      new AsyncResource('R').runInAsyncScope(() => away())
      away()
    }
  }
  let depth = 0
  interleave([new Greenlet(run), new Greenlet(run)], (go) => nested(depth++ % 5, go))
  t.true(depth > 40)
})

test('scopes on main can close while a greenlet that was started in them lives on', (t) => {
  const outer = new AsyncResource('OUTER')
  const g = new Greenlet(() => nested(2, () => [away(), executionAsyncId()]))
  outer.runInAsyncScope(() => nested(3, () => g.switch()))
  t.not(executionAsyncId(), outer.asyncId())
  const before = surroundings()
  g.switch()
  t.true(haveSameItems(before, surroundings()))
  t.true(g.dead)
})

test('there can be more scopes than Node.js allocates space for at first', (t) => {
  const run = (depth: number) => (): void => {
    nested(depth, () => {
      away()
      nested(depth * 2, () => away())
      away()
    })
  }
  let depth = 0
  interleave(
    [40, 3, 20, 0, 1].map((d) => new Greenlet(run(d))),
    (go) => nested(depth++ % 2 === 0 ? 70 : depth, go),
  )
  t.true(depth > 10)
})

test('the first greenlet of a program may be made in many scopes', async (t) => {
  const depths = [1, 29, 30, 61, 62, 63, 200]
  const programs = depths.map((depth) =>
    runProgram(`
      const { nested, away } = await import('./__test__/helpers/surroundings.ts')
      const g = nested(${depth}, () => new Greenlet(() => nested(3, () => away(1))))
      console.log(nested(5, () => g.switch()), nested(${depth}, () => g.switch()), g.dead)
    `),
  )
  for (const { code, stdout, stderr } of await Promise.all(programs)) {
    t.is(stderr, '')
    t.is(stdout, '1 undefined true\n')
    t.is(code, 0)
  }
})

test('scopes close when an error is thrown into them or leaves them', (t) => {
  const before = surroundings()
  const g = new Greenlet(() => {
    const own = surroundings()
    try {
      nested(3, () => main.switch())
    } catch (error) {
      t.is(error, 'in')
    }
    t.true(haveSameItems(own, surroundings()))
    nested(4, () => {
      main.switch()
      throw 'out'
    })
  })
  g.switch()
  g.throw('in')
  t.true(haveSameItems(before, surroundings()))
  try {
    g.switch()
    t.fail()
  } catch (error) {
    t.is(error, 'out')
  }
  t.true(haveSameItems(before, surroundings()))
})

test('kill() closes the scopes of a greenlet', (t) => {
  const before = surroundings()
  const killed = Array.from({ length: 10 }, (_, i) => new Greenlet(() => nested(i, () => main.switch())))
  for (const g of killed) g.switch()
  for (const g of killed) g.kill()
  t.true(haveSameItems(before, surroundings()))
})

test('greenlets in scopes can switch to each other', (t) => {
  const before = surroundings()
  const ring: Greenlet[] = []
  const run = (i: number) => () =>
    nested(i, () => {
      const mine = surroundings()
      for (let round = 0; round < 5; round++) {
        ring[(i + 1) % ring.length]!.switch()
        if (!haveSameItems(mine, surroundings())) throw new Error('the surroundings have changed over a switch')
      }
      main.switch(i)
    })
  for (let i = 0; i < 4; i++) ring.push(new Greenlet(run(i)))
  ring[0]!.switch()
  t.true(haveSameItems(before, surroundings()))
  for (const g of ring) g.kill()
  t.true(haveSameItems(before, surroundings()))
})

/** Calls `fn` inside a callback scope of C++: that of the HTTP parser when it has read a header. */
function inParser<T>(fn: () => T): T {
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
  let result: { value: T } | undefined
  const agent = Object.assign(new Agent(), { createConnection: () => socket })
  const client = request({ agent })
  client.on('response', () => (result = { value: fn() }))
  client.on('error', () => {})
  client.end()
  wait(later(0, 1))
  socket.emit('data', Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n'))
  socket.destroy()
  if (result === undefined) throw new Error('the parser has not called')
  return result.value
}

test('callback scopes of C++ work across interleaved switches', async (t) => {
  const before = surroundings(store)
  let ended = 0
  const run = (i: number) => () => {
    for (let round = 0; round < 3; round++) {
      const own = surroundings(store)
      const inside = inParser(() => {
        const here = surroundings(store)
        wait(later(0, i % 3))
        nested(2, () => wait(later(0, (i * 7) % 5)))
        store.run(i, () => {
          wait(later(0, 1))
          t.is(store.getStore(), i)
        })
        t.true(haveSameItems(here, surroundings(store)))
        return here
      })
      t.not(inside[0], own[0])
      t.true(haveSameItems(own, surroundings(store)))
    }
    ended++
  }
  const greenlets = Array.from({ length: 5 }, (_, i) => new Greenlet(run(i)))
  for (const g of greenlets) g.switch()
  while (ended < greenlets.length) await later(0, 2)
  t.true(haveSameItems(before.slice(3), surroundings(store).slice(3)))
})
