// greenlet's tests/test_contextvars.py, with AsyncLocalStorage for ContextVar and AsyncResource for Context. The number is the
// row in the list of greenlet's tests.

import test from 'ava'
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import { Greenlet } from '../../js/index.ts'
import { collect } from '../helpers/collect.ts'

const ID = new AsyncLocalStorage<unknown>()

/** Stands for contextvars.copy_context(). */
const copyContext = (): AsyncResource => new AsyncResource('COPY')
const idIn = (context: AsyncResource): unknown => context.runInAsyncScope(() => ID.getStore())

/** Reads it in a function: TypeScript would assume that a property still has the value that was assigned. */
const contextOf = (g: Greenlet): AsyncResource | null => g.gr_context

type Way = 'run' | 'set' | 'none' | 'share'
type Expect = (serial: number) => unknown

/** Four greenlets in turns: each sets its id, then reads the id and counts twice. Their parent greenlet counts too. */
function countIds(way: Way, expect: Expect, seen: (read: unknown, expected: unknown) => void): number[] {
  const all = new Greenlet(() => {
    const { current } = Greenlet
    const counts = [0, 0, 0, 0, 0]
    ID.enterWith(0)
    const greenlets = [1, 2, 3, 4].map((serial) => {
      const increment = (): void => {
        seen(ID.getStore(), expect(serial))
        ID.enterWith(serial)
        for (let i = 0; i < 2; i++) {
          counts[ID.getStore() as number]!++
          current.switch()
        }
      }
      const copy = copyContext()
      const g = new Greenlet(way === 'run' ? () => copy.runInAsyncScope(increment) : increment, {
        context: way === 'none' ? null : undefined,
      })
      if (way === 'set') g.gr_context = copyContext()
      if (way === 'share') g.gr_context = current.gr_context
      return g
    })
    for (let i = 0; i < 2; i++) {
      counts[ID.getStore() as number]!++
      for (const g of greenlets) g.switch()
    }
    for (const g of greenlets) g.switch()
    for (const g of greenlets) seen(g.dead, true)
    return counts
  })
  return all.switch<number[]>()
}

test('1 context_propagated_by_context_run: each greenlet sees the value that it has set', (t) => {
  const counts = countIds(
    'run',
    () => 0,
    (read, expected) => t.is(read, expected),
  )
  t.deepEqual(counts, [2, 2, 2, 2, 2])
})

test('2 context_propagated_by_setting_attribute: a greenlet starts in the context it was given, and keeps it', (t) => {
  const counts = countIds(
    'set',
    () => 0,
    (read, expected) => t.is(read, expected),
  )
  t.deepEqual(counts, [2, 2, 2, 2, 2])
})

test('3 context_not_propagated: a greenlet without a context starts with an empty store', (t) => {
  const counts = countIds(
    'none',
    () => undefined,
    (read, expected) => t.is(read, expected),
  )
  t.deepEqual(counts, [2, 2, 2, 2, 2])
})

test('4 context_shared: greenlets with one context see what the others set', (t) => {
  const counts = countIds(
    'share',
    (serial) => serial - 1,
    (read, expected) => t.is(read, expected),
  )
  t.deepEqual(counts, [1, 1, 1, 1, 6])
})

test('5 break_ctxvars: contexts can be left in another order than they were entered', (t) => {
  const { current } = Greenlet
  const run = (id: number) => (): unknown => {
    const result = ID.run(id, () => [copyContext().runInAsyncScope(() => current.switch(ID.getStore())), ID.getStore()])
    return [...result, ID.getStore()]
  }
  const [first, second] = [new Greenlet(run(1)), new Greenlet(run(2))]
  t.is(first.switch(), 1)
  t.is(second.switch(), 2)
  t.deepEqual(first.switch('a'), ['a', 1, undefined])
  t.is(ID.getStore(), undefined)
  t.deepEqual(second.switch('b'), ['b', 2, undefined])
  t.is(ID.getStore(), undefined)
})

test('6 not_broken_if_using_attribute_instead_of_context_run: assigned contexts can be left in any order, too', (t) => {
  const { current } = Greenlet
  const [first, second] = [1, 2].map((id) => {
    const g = new Greenlet(() => [current.switch(ID.getStore()), ID.getStore()])
    g.gr_context = ID.run(id, copyContext)
    return g
  }) as [Greenlet, Greenlet]
  t.is(first.switch(), 1)
  t.is(second.switch(), 2)
  t.deepEqual(first.switch('a'), ['a', 1])
  t.deepEqual(second.switch('b'), ['b', 2])
  t.is(ID.getStore(), undefined)
})

test('7 context_assignment_while_running: a context can be assigned in each state: unstarted, running, suspended, dead', async (t) => {
  const refs = (() => {
    const main = Greenlet.current
    const g = new Greenlet(
      () => {
        t.is(ID.getStore(), undefined)
        t.is(contextOf(g), null)
        // Python makes a context at the first use; here the test assigned one.
        const old = copyContext()
        g.gr_context = old
        ID.enterWith(1)
        t.is(contextOf(g), old)
        t.is(idIn(old), 1)

        g.gr_context = null
        t.is(ID.getStore(), undefined)
        t.is(contextOf(g), null)
        const fresh = copyContext()
        g.gr_context = fresh
        ID.enterWith(2)
        t.is(idIn(fresh), 2)
        main.switch([old, fresh])

        t.is(ID.getStore(), 1)
        g.gr_context = fresh
        t.is(ID.getStore(), 2)
        main.switch()

        t.is(ID.getStore(), undefined)
        t.is(contextOf(g), null)
        g.gr_context = old
        t.is(ID.getStore(), 1)
        main.switch()

        t.is(ID.getStore(), undefined)
        t.is(contextOf(g), null)
      },
      { context: null },
    )
    t.is(contextOf(g), null)
    const [old, fresh] = g.switch<[AsyncResource, AsyncResource]>()
    t.is(contextOf(g), fresh)
    t.is(idIn(old), 1)
    t.is(idIn(fresh), 2)
    g.gr_context = old
    g.switch()
    t.is(contextOf(g), fresh)
    g.gr_context = null
    g.switch()
    t.is(contextOf(g), old)
    g.gr_context = null
    g.switch()
    t.true(g.dead)
    t.is(contextOf(g), null)
    g.gr_context = old
    t.is(contextOf(g), old)
    return [new WeakRef(g), new WeakRef(old), new WeakRef(fresh)]
  })()
  for (let i = 0; i < 10 && refs.some((ref) => ref.deref() !== undefined); i++) await collect()
  for (const ref of refs) t.is(ref.deref(), undefined)
})

test('9 context_assignment_wrong_type: a wrong context throws a TypeError that says what a context must be', (t) => {
  const g = new Greenlet(() => {})
  const error = t.throws(() => (g.gr_context = t as never), { instanceOf: TypeError }) as TypeError & { code: string }
  t.true(error.message.startsWith('greenlet context must be an AsyncResource or null'))
  t.is(error.code, 'ERR_GREENLET_INVALID_ARG')
})
