import { Greenlet } from '../../js/index.ts'
import { collectUntil } from '../helpers/collect.ts'
import { leakcheck } from '../helpers/leakcheck.ts'

const { main } = Greenlet

leakcheck('167 dead_weakref: a dead greenlet is collected', async (t) => {
  const make = (): WeakRef<Greenlet> => {
    const g = new Greenlet(() => {})
    g.switch()
    return new WeakRef(g)
  }
  const ref = make()
  await collectUntil(() => ref.deref() === undefined)
  t.is(ref.deref(), undefined)
})

leakcheck('168 inactive_weakref: an unstarted greenlet is collected', async (t) => {
  const make = (): WeakRef<Greenlet> => new WeakRef(new Greenlet())
  const ref = make()
  await collectUntil(() => ref.deref() === undefined)
  t.is(ref.deref(), undefined)
})

leakcheck(
  '169 dealloc_weakref: objects collected with a greenlet are gone when it gets its GreenletExit',
  async (t) => {
    const seen: unknown[] = []
    let child: WeakRef<Greenlet> | undefined
    const worker = (): void => {
      try {
        main.switch()
      } finally {
        seen.push(child!.deref())
      }
    }
    const make = (): void => {
      const g = new Greenlet(worker)
      g.switch()
      // Its parent is g, and no other object refers to either.
      child = new WeakRef(new Greenlet(() => {}, { parent: g }))
    }
    make()
    await collectUntil(() => seen.length > 0)
    t.deepEqual(seen, [undefined])
  },
)
