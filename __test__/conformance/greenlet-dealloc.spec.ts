// A suspended greenlet that is unreachable must end. In Python it ends when the last reference goes; here it ends after a
// collection, in a turn of the event loop. A suspended stack must not hold its own greenlet for that. So these greenlets switch
// to `main`, and everything else happens in functions that have returned.

import { inspect } from 'node:util'
import { Greenlet, GreenletError, GreenletExit } from '../../js/index.ts'
import { collectUntil } from '../helpers/collect.ts'
import { sameItems } from '../helpers/identity.ts'
import { leakcheck } from '../helpers/leakcheck.ts'
import { turn } from '../helpers/promises.ts'
import { warningsOf } from '../helpers/warnings.ts'

const { main } = Greenlet
class SomeError extends Error {}

leakcheck('51 dealloc: an unreachable greenlet gets a GreenletExit, and its finally blocks run', async (t) => {
  const seen: unknown[] = []
  const fmain = (): void => {
    try {
      main.switch()
    } catch (error) {
      seen.push((error as Error).constructor)
      throw error
    }
  }
  const kept: Greenlet[] = []
  const start = (): void => {
    kept.push(new Greenlet(fmain))
    kept.at(-1)!.switch()
  }
  start()
  start()
  t.deepEqual(seen, [])
  kept.length = 1
  await collectUntil(() => seen.length > 0)
  t.deepEqual(seen, [GreenletExit])
  t.is(kept[0]!.state, 'suspended')
  kept.length = 0
  await collectUntil(() => seen.length > 1)
  t.deepEqual(seen, [GreenletExit, GreenletExit])
})

leakcheck(
  '52 dealloc_catches_GreenletExit_throws_other: an error thrown instead of the GreenletExit becomes a warning',
  async (t) => {
    let caught = 0
    const run = (): void => {
      try {
        main.switch()
      } catch {
        caught++
        throw new SomeError('instead of the exit')
      }
    }
    const start = (): void => void new Greenlet(run).switch()
    start()
    const seen = await warningsOf(async () => {
      await collectUntil(() => caught > 0)
      await turn()
    })
    t.is(caught, 1)
    t.is(seen.length, 1)
    t.is(seen[0]!.name, 'GreenletWarning')
    t.regex(inspect(seen[0]), /instead of the exit/)
  },
)

leakcheck(
  '63 parent_restored_on_kill: the killer is the parent during kill(), and the old parent is the parent afterwards',
  (t) => {
    const result: unknown[] = []
    const hub = new Greenlet(() => {})
    const g: Greenlet = new Greenlet(
      () => {
        try {
          main.switch()
        } catch {
          result.push(g.parent)
          hub.switch()
        }
      },
      { parent: hub },
    )
    g.switch()
    t.is(g.parent, hub)
    t.throws(() => g.kill(), { instanceOf: GreenletError, code: 'ERR_GREENLET_KILL_REFUSED' })
    sameItems(t, result, [main])
    t.is(g.parent, hub)
    t.is(g.state, 'suspended')
    t.is(g.switch('to its end, and through the dead hub'), undefined)
    t.true(g.dead)
  },
)

leakcheck('70 dealloc_switch_args_not_lost: a value arrives although its sender becomes unreachable', async (t) => {
  const seen: unknown[] = []
  const kept: Greenlet[] = []
  const initiator: Greenlet[] = []
  const worker = (): void => {
    const value = main.switch()
    forget()
    try {
      main.switch(value)
    } finally {
      seen.push('finally')
    }
  }
  // Defined outside of the worker, whose frame must not hold the greenlet.
  const forget = (): void => {
    kept.length = 0
    initiator.pop()!.parent = main
  }
  const start = (): unknown => {
    kept.push(new Greenlet(worker))
    kept[0]!.switch()
    initiator.push(new Greenlet(() => 42, { parent: kept[0]! }))
    return initiator[0]!.switch()
  }
  t.is(start(), 42)
  await collectUntil(() => seen.length > 0)
  t.deepEqual(seen, ['finally'])
})

// The collector found the ten objects of the subclass. Each greenlet that comes back has a new object.
leakcheck(
  '74 issue_245_reference_counting_subclass_no_threads: a subclass is collected with its greenlets',
  async (t) => {
    const glets: Greenlet[] = []
    const classes: WeakRef<object>[] = []
    const body = (): void => {
      try {
        main.switch()
      } catch {
        resurrect()
      }
    }
    const resurrect = (): void => void glets.push(Greenlet.current)
    const start = (): void => {
      class Sub extends Greenlet {}
      classes.push(new WeakRef(Sub))
      for (let i = 0; i < 10; i++) new Sub(body).switch()
    }
    start()
    await collectUntil(() => glets.length === 10)
    t.is(new Set(glets).size, 10)
    t.true(glets.every((g) => g.dead))
    glets.length = 0
    await collectUntil(() => classes[0]!.deref() === undefined)
    t.is(classes[0]!.deref(), undefined)
  },
)
