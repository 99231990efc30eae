// How garbage collection treats greenlets. Each greenlet is made in a function of its own, so that the stack of the test does
// not hold it.

import { Greenlet, GreenletExit } from '../../js/index.ts'
import { collect, collectUntil } from '../helpers/collect.ts'
import { leakcheck } from '../helpers/leakcheck.ts'

const { main } = Greenlet

leakcheck(
  '28 dead_circular_ref: a greenlet whose result is the greenlet itself is collected when it is dead',
  async (t) => {
    const make = (): WeakRef<Greenlet> => new WeakRef(new Greenlet(() => Greenlet.current).switch<Greenlet>())
    const ref = make()
    await collectUntil(() => ref.deref() === undefined)
    t.is(ref.deref(), undefined)
  },
)

leakcheck('29 circular_greenlet: an unstarted greenlet that refers to itself is collected', async (t) => {
  class Circular extends Greenlet {
    self?: Circular
  }
  const make = (): WeakRef<Greenlet> => {
    const g = new Circular(() => {})
    g.self = g
    return new WeakRef(g)
  }
  const ref = make()
  await collectUntil(() => ref.deref() === undefined)
  t.is(ref.deref(), undefined)
})

leakcheck('30 inactive_ref: an unstarted greenlet that runs its own bound method is collected', async (t) => {
  class Inactive extends Greenlet {
    constructor() {
      super()
      Object.defineProperty(this, 'run', { value: this.work.bind(this) })
    }
    work(): this {
      return this
    }
  }
  const make = (): WeakRef<Greenlet> => new WeakRef(new Inactive())
  const ref = make()
  await collectUntil(() => ref.deref() === undefined)
  t.is(ref.deref(), undefined)
})

leakcheck('31 finalizer_crash: a suspended greenlet in a cycle is ended, and its finally blocks run', async (t) => {
  const log: unknown[] = []
  const finalized = new FinalizationRegistry((what) => log.push(what))
  const body = (): void => {
    hold()
    try {
      main.switch()
    } catch (error) {
      log.push(error instanceof GreenletExit)
      throw error
    } finally {
      log.push('finally')
    }
  }
  const make = (): void => {
    const array: unknown[] = []
    const g: Greenlet & { array?: unknown[] } = new Greenlet(body)
    g.array = array
    array.push(g)
    g.switch()
  }
  // Made outside of the body, because its suspended frame must not hold its own greenlet.
  const hold = (): void => {
    const object = {}
    ;(Greenlet.current as { object?: object }).object = object
    finalized.register(object, 'the object')
  }
  make()
  await collectUntil(() => log.length === 3)
  t.deepEqual(log.toSorted(), ['finally', 'the object', true])
})

leakcheck(
  '32 crashing_deferred_object: a collection works inside of a greenlet while another one is suspended',
  async (t) => {
    const suspended = new Greenlet((object: object) => main.switch([object].map(() => main.switch(object))))
    const object = {}
    suspended.switch(object)
    const outer = new Greenlet(async () => {
      const ending = collect()
      await ending
      return new Greenlet(() => 'ran').switch()
    })
    t.is(await outer.switch(), 'ran')
    t.deepEqual(suspended.switch(1), [1])
    suspended.kill()
  },
)

leakcheck('33 cycle_in_suspended_frame: an object on a suspended stack lives as long as that stack', async (t) => {
  const refs: WeakRef<object>[] = []
  const inner = (): void => {
    const cycle1: { other?: object } = {}
    const cycle2 = { other: cycle1 }
    cycle1.other = cycle2
    refs.push(new WeakRef(cycle1), new WeakRef(cycle2))
    main.switch()
  }
  const glet = new Greenlet(inner)
  glet.switch()
  await collect()
  t.true(refs.every((ref) => ref.deref() !== undefined))
  glet.kill()
  await collectUntil(() => refs.every((ref) => ref.deref() === undefined))
  t.true(refs.every((ref) => ref.deref() === undefined))
})
