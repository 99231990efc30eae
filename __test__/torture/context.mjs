// Async context and garbage collection: stores, scopes and resources of parked greenlets, shared contexts, hooks.

import {
  AsyncLocalStorage,
  AsyncResource,
  createHook,
  executionAsyncId,
  executionAsyncResource,
} from 'node:async_hooks'
import { check, collect, greenlets, litter, random, SLOW } from './lib/load.mjs'

const { Greenlet, sleep, spawn, wait } = greenlets
const { main } = Greenlet
const COUNT = SLOW ? 8 : 40
const below = random(7)
const store = new AsyncLocalStorage()
const other = new AsyncLocalStorage()

const nested = (depth, fn) => (depth === 0 ? fn() : new AsyncResource('N').runInAsyncScope(() => nested(depth - 1, fn)))
const here = () => [executionAsyncId(), executionAsyncResource(), store.getStore(), other.getStore()]
const same = (a, b) => a.every((value, i) => value === b[i])

/** Calls `fn` and checks that the async context is the same afterwards. */
const keepingContext = (what, fn) => {
  const before = here()
  const result = fn()
  check(same(before, here()), what)
  return result
}

const away = () => {
  litter(10)
  if (below(40) === 0) collect(below(4) === 0)
  return keepingContext('the context of a greenlet', () => main.switch())
}

/** Uses stores and scopes of all depths, with young objects in all of them. */
const work = (i) => () => {
  for (let round = 0; round < 3 + (i % 5); round++) {
    store.run({ i, round }, () => {
      away()
      nested(i % 4, () => {
        away()
        other.enterWith({ i, other: true })
        away()
        check(store.getStore().i === i && other.getStore().i === i, 'a store')
      })
      if (i % 3 === 0) nested(20, away)
    })
    store.enterWith({ i, entered: true })
    away()
    check(store.getStore().i === i && executionAsyncResource() === Greenlet.current.gr_context, 'what was entered')
  }
  return i
}

/** Resumes them in random order, from main at all depths. */
function interleave(all) {
  const ended = []
  while (all.length > 0) {
    const place = below(all.length)
    const g = all[place]
    nested(below(4), () => keepingContext('the context of main', () => g.switch()))
    if (below(20) === 0) g.gr_context?.runInAsyncScope(() => check(here().length === 4, 'reading a context'))
    if (below(40) === 0) g.kill()
    if (!g.dead) continue
    ended.push(g)
    all.splice(place, 1)
  }
  return ended
}

const make = (i) => new Greenlet(work(i), { name: `g${i}` })
interleave(Array.from({ length: COUNT }, (_, i) => store.run({ creator: i }, () => make(i))))

// Shared contexts: each greenlet reads the store that another one entered, while others are parked, collected and resumed.
const resource = store.run({ n: 0 }, () => new AsyncResource('SHARED'))
const count = () => {
  for (let i = 0; i < 20; i++) {
    store.enterWith({ n: store.getStore().n + 1 })
    litter(10)
    if (below(20) === 0) collect()
    main.switch()
  }
}
const sharing = Array.from({ length: 5 }, () => new Greenlet(count, { context: resource }))
for (let round = 0; round < 20; round++) for (const g of sharing) g.switch()
check(resource.runInAsyncScope(() => store.getStore().n) === 100, 'a shared context')
for (const g of sharing) g.switch()
check(sharing.every((g) => g.dead) && store.getStore() === undefined, 'the end of the sharing greenlets')

// Contexts are exchanged at random, of parked and running greenlets; not in scopes, which restore their own stores.
const contexts = Array.from({ length: 8 }, (_, i) => store.run({ i }, () => new AsyncResource(`C${i}`)))
const wander = () => {
  for (let i = 0; i < 30; i++) {
    if (below(3) === 0) Greenlet.current.gr_context = below(8) === 0 ? null : contexts[below(8)]
    const { gr_context: context } = Greenlet.current
    check(executionAsyncId() === (context?.asyncId() ?? 0), 'the id of a context')
    check(store.getStore()?.i === (context === null ? undefined : contexts.indexOf(context)), 'the store of a context')
    const depth = below(3)
    nested(depth, () => {
      litter(5)
      if (below(30) === 0) collect()
      main.switch(depth)
    })
  }
}
const wandering = Array.from({ length: COUNT }, () => new Greenlet(wander, { context: contexts[below(8)] }))
while (wandering.some((g) => !g.dead)) {
  for (const g of wandering) {
    const depth = keepingContext('the context of main', () => g.switch())
    if (depth === 0 && below(5) === 0) g.gr_context = contexts[below(8)]
  }
}

// More than one block of contexts, all parked during collections.
const crowd = Array.from({ length: SLOW ? 400 : 1000 }, (_, i) =>
  store.run({ i }, () => new Greenlet(() => nested(i % 3, away))),
)
for (const g of crowd) g.switch()
litter(SLOW ? 500 : 20_000)
collect()
for (const [i, g] of crowd.entries())
  check(g.gr_context.runInAsyncScope(() => store.getStore().i) === i, 'a store of a crowd')
for (const g of crowd) if (below(3) === 0) g.kill()
for (const g of crowd) if (!g.dead) g.switch()

// Scavenges skip blocks of contexts without writes. Some greenlets resume, some get another context or share one.
const stay = () => {
  for (;;) {
    const entered = main.switch(store.getStore())
    if (entered === undefined) return
    store.enterWith({ entered })
  }
}
const block = Array.from({ length: 1000 }, (_, i) => store.run({ i }, () => new Greenlet(stay)))
/** The value in the store, for each context. */
const expected = new Map(block.map((g) => [g.gr_context, g.switch()]))
const text = JSON.stringify
for (let round = 0; round < (SLOW ? 20 : 200); round++) {
  litter(20)
  collect(false)
  const g = block[below(block.length)]
  const kind = below(4)
  if (kind === 0) g.gr_context = block[below(block.length)].gr_context
  else if (kind === 1) g.gr_context = store.run({ given: round }, () => new AsyncResource('GIVEN'))
  if (kind === 1) expected.set(g.gr_context, { given: round })
  else if (kind === 2) expected.set(g.gr_context, { entered: [round] })
  const seen = kind === 2 ? g.switch([round]) : g.gr_context.runInAsyncScope(() => store.getStore())
  check(text(seen) === text(expected.get(g.gr_context)), 'a store in a quiet block')
}
for (const g of block)
  check(
    text(g.gr_context.runInAsyncScope(() => store.getStore())) === text(expected.get(g.gr_context)),
    'a quiet store',
  )
for (const g of block) g.switch()

// Hooks that see all of this, in the event loop.
const open = []
let misnested = 0
const hook = createHook({
  init: () => litter(1),
  before: (id) => open.push(id),
  after: (id) => {
    if (open.length > 0 && open.pop() !== id) misnested++
  },
  destroy: () => {},
}).enable()
interleave(Array.from({ length: COUNT / 2 }, (_, i) => make(i)))
const waiting = (i) =>
  store.run({ i }, () =>
    nested(i % 3, () => {
      for (let n = 0; n < 3; n++) {
        wait(new Promise((resolve) => setTimeout(resolve, (i * 7 + n) % 5)))
        litter(20)
        sleep(i % 2)
        check(store.getStore().i === i, 'a store over a wait')
      }
      return i
    }),
  )
const spawned = Array.from({ length: COUNT / 2 }, (_, i) => spawn(waiting, i))
const ticking = setInterval(() => collect(false), 2)
for (const [i, greenlet] of spawned.entries()) check((await greenlet) === i, 'a spawned greenlet')
clearInterval(ticking)
hook.disable()
check(misnested === 0, 'hooks that nest')

// Greenlets stay parked in scopes at the end of the program.
for (let i = 0; i < 20; i++) make(i).switch()
console.log('ok')
