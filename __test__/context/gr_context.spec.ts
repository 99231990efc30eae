// gr_context: reading, assigning, sharing and removing an async context.

import test from 'ava'
import {
  AsyncLocalStorage,
  AsyncResource,
  executionAsyncId,
  executionAsyncResource,
  triggerAsyncId,
} from 'node:async_hooks'
import { Greenlet, type GreenletError } from '../../js/index.ts'
import { collect } from '../helpers/collect.ts'
import { sameItems } from '../helpers/identity.ts'
import { away, nested } from '../helpers/surroundings.ts'

const { main } = Greenlet
const store = new AsyncLocalStorage<unknown>()
const made = (value: unknown): AsyncResource => store.run(value, () => new AsyncResource('MADE'))
/** Reads it in a function: TypeScript would assume that a property still has the value that was assigned. */
const contextOf = (g: Greenlet): AsyncResource | null => g.gr_context
const storeOf = (context: AsyncResource | null): unknown => context!.runInAsyncScope(() => store.getStore())

test('gr_context is an AsyncResource, and the same one in every state of the greenlet', (t) => {
  const g = new Greenlet(() => {
    const inside = Greenlet.current.gr_context
    main.switch(inside)
    return [inside, executionAsyncResource()]
  })
  const context = g.gr_context
  t.true(context instanceof AsyncResource)
  t.is(g.switch(), context)
  t.is(contextOf(g), context)
  sameItems(t, g.switch<unknown[]>(), [context, context])
  t.is(contextOf(g), context)
})

test('runInAsyncScope() of gr_context runs in the current stores of the greenlet', (t) => {
  const g = store.run(
    'created',
    () =>
      new Greenlet(() => {
        away('untouched')
        store.enterWith('entered')
        away('entered')
        store.run('run', () => away('run'))
        away('back')
        store.enterWith('last')
        t.is(storeOf(context), 'last')
      }),
  )
  const context = g.gr_context
  t.is(storeOf(context), 'created')
  const seen = ['untouched', 'entered', 'run', 'back'].map((stop) => {
    t.is(g.switch(), stop)
    t.is(store.getStore(), undefined)
    return storeOf(context)
  })
  t.deepEqual(seen, ['created', 'entered', 'run', 'entered'])
  g.switch()
  t.true(g.dead)
  t.is(storeOf(context), 'last')
  t.is(store.getStore(), undefined)
})

test('gr_context can be read late, by other greenlets and inside scopes', (t) => {
  const g = new Greenlet(() => {
    store.enterWith('own')
    nested(2, () => main.switch())
    store.enterWith('later')
    main.switch()
  })
  g.switch()
  t.is(storeOf(g.gr_context), 'own')
  g.switch()
  t.is(storeOf(g.gr_context), 'later')
  g.kill()
  t.is(storeOf(g.gr_context), 'later')
})

test('without the option context it is inherited, null means none, and a resource is used as it is', (t) => {
  store.run('here', () => {
    const run = (): unknown[] => [store.getStore(), executionAsyncId()]
    const absent = new Greenlet(run, { context: undefined })
    t.deepEqual(absent.switch(), ['here', absent.gr_context!.asyncId()])
    const none = new Greenlet(run, { context: null })
    t.is(none.gr_context, null)
    t.deepEqual(none.switch(), [undefined, 0])
    const resource = made('there')
    const given = new Greenlet(run, { context: resource })
    t.is(given.gr_context, resource)
    t.deepEqual(given.switch(), ['there', resource.asyncId()])
    t.is(store.getStore(), 'here')
  })
})

test('a greenlet without a context can set stores, and they belong to it', (t) => {
  const run = (name: string) => () => {
    store.enterWith(name)
    main.switch()
    return store.getStore()
  }
  const [a, b] = [new Greenlet(run('a'), { context: null }), new Greenlet(run('b'), { context: null })]
  a.switch()
  b.switch()
  t.is(store.getStore(), undefined)
  t.deepEqual([a.switch(), b.switch()], ['a', 'b'])
})

test('gr_context can be set before the start, and while suspended, running and dead', (t) => {
  const resources = ['before', 'suspended', 'running', 'dead'].map((name) => made(name))
  const [before, suspended, running, dead] = resources as [AsyncResource, AsyncResource, AsyncResource, AsyncResource]
  const seen: unknown[] = []
  const look = (): void => void seen.push(store.getStore(), executionAsyncResource() === Greenlet.current.gr_context)
  const h = new Greenlet(() => {
    look()
    main.switch()
    look()
    Greenlet.current.gr_context = running
    look()
    main.switch()
    look()
    Greenlet.current.gr_context = null
    seen.push(store.getStore(), executionAsyncId())
  })
  h.gr_context = before
  t.is(contextOf(h), before)
  h.switch()
  t.is(store.getStore(), undefined)
  h.gr_context = suspended
  t.is(contextOf(h), suspended)
  h.switch()
  t.is(contextOf(h), running)
  h.switch()
  t.is(contextOf(h), null)
  h.gr_context = dead
  t.is(contextOf(h), dead)
  t.deepEqual(seen, ['before', true, 'suspended', true, 'running', true, 'running', true, undefined, 0])
  t.is(store.getStore(), undefined)
})

test('a context that is set inside scopes takes effect when they have closed', (t) => {
  const resource = made('given')
  const g = new Greenlet(() => {
    nested(3, () => {
      Greenlet.current.gr_context = resource
      main.switch()
    })
    return executionAsyncResource()
  })
  g.switch()
  t.is(g.switch(), resource)
  t.is(store.getStore(), undefined)
})

test('greenlets with the same resource see the stores that the others enter', (t) => {
  const resource = made(0)
  const add = (): void => {
    for (let i = 0; i < 3; i++) {
      store.enterWith((store.getStore() as number) + 1)
      main.switch()
    }
  }
  const early = new Greenlet(add, { context: resource })
  early.switch()
  const late = new Greenlet(add)
  late.gr_context = resource
  late.switch()
  early.switch()
  late.switch()
  t.is(storeOf(resource), 4)
  const joins = new Greenlet(() => {
    main.switch()
    return [store.getStore(), executionAsyncResource(), executionAsyncId(), triggerAsyncId()]
  })
  joins.switch()
  joins.gr_context = resource
  early.switch()
  sameItems(t, joins.switch<unknown[]>(), [5, resource, resource.asyncId(), resource.triggerAsyncId()])
  t.is(storeOf(resource), 5)
  early.kill()
  late.switch()
  late.kill()
  t.is(storeOf(resource), 6)
  t.is(store.getStore(), undefined)
})

test('the context of another greenlet can be shared, also if it came from executionAsyncResource()', (t) => {
  const owner = new Greenlet(() => {
    store.enterWith('first')
    main.switch(executionAsyncResource())
    store.enterWith('second')
    main.switch()
    return store.getStore()
  })
  const resource = owner.switch<AsyncResource>()
  const guest = new Greenlet(
    () => {
      const seen = [store.getStore(), main.switch(), store.getStore()]
      store.enterWith('third')
      return seen
    },
    { context: resource },
  )
  guest.switch()
  owner.switch()
  t.deepEqual(guest.switch(), ['first', undefined, 'second'])
  t.is(owner.switch(), 'third')
})

test('a greenlet can change to another context and back', (t) => {
  const [a, b] = [made('a'), made('b')]
  const g = new Greenlet(
    () => {
      store.enterWith('a, changed')
      main.switch()
      const inB = store.getStore()
      store.enterWith('b, changed')
      main.switch()
      return [inB, store.getStore()]
    },
    { context: a },
  )
  g.switch()
  g.gr_context = b
  t.is(storeOf(a), 'a, changed')
  g.switch()
  g.gr_context = a
  t.is(storeOf(b), 'b, changed')
  t.deepEqual(g.switch(), ['b', 'a, changed'])
})

test('wrong contexts throw', (t) => {
  const g = new Greenlet(() => {})
  const pretender = Object.create(AsyncResource.prototype) as AsyncResource
  for (const wrong of ['x', 42, {}, [], undefined, () => {}, new Map(), pretender, store]) {
    for (const act of [
      () => (g.gr_context = wrong as never),
      ...(wrong === undefined ? [] : [() => new Greenlet(() => {}, { context: wrong as never })]),
    ]) {
      const error = t.throws(act as () => void, { instanceOf: TypeError }) as TypeError & { code: string }
      t.regex(error.message, /^greenlet context must be an AsyncResource or null, not /)
      t.is(error.code, 'ERR_GREENLET_INVALID_ARG')
    }
  }
  t.true(g.gr_context instanceof AsyncResource)
})

test('main has no context, and cannot be given one', (t) => {
  t.is(main.gr_context, null)
  const resource = made('x')
  for (const context of [resource, null]) {
    const error = t.throws<GreenletError>(() => (main.gr_context = context))
    t.is(error.code, 'ERR_GREENLET_MAIN')
  }
  t.is(main.gr_context, null)
  t.is(store.getStore(), undefined)
})

test('a resource that cannot be extended can be given', (t) => {
  const resource = Object.freeze(made('frozen'))
  const g = new Greenlet(() => store.getStore(), { context: resource })
  t.is(g.switch(), 'frozen')
})

test('an unreachable context is collected', async (t) => {
  const refs: WeakRef<object>[] = []
  const keep = ((): Greenlet => {
    const [first, second] = [made({}), made({})]
    const g = new Greenlet(() => {
      main.switch()
      main.switch()
    })
    const own = g.gr_context!
    g.gr_context = first
    g.switch()
    g.gr_context = second
    g.switch()
    g.gr_context = null
    refs.push(new WeakRef(own), new WeakRef(first), new WeakRef(second))
    return g
  })()
  ;(() => {
    const value = {}
    const context = made(value)
    const g = new Greenlet(() => main.switch(), { context })
    g.switch()
    g.switch()
    refs.push(new WeakRef(value), new WeakRef(context), new WeakRef(g))
  })()
  for (let i = 0; i < 10 && refs.some((ref) => ref.deref() !== undefined); i++) await collect()
  t.deepEqual(
    refs.map((ref) => ref.deref() === undefined),
    refs.map(() => true),
  )
  t.is(keep.gr_context, null)
  keep.kill()
})
