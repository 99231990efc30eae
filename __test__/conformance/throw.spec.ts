import { Greenlet, GreenletExit } from '../../js/index.ts'
import { leakcheck } from '../helpers/leakcheck.ts'

const { main } = Greenlet
const toParent = (value: unknown): unknown => Greenlet.current.parent!.switch(value)

leakcheck('149 class: a greenlet catches an error by its class where it is suspended', (t) => {
  const g = new Greenlet(() => {
    try {
      toParent('ok')
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      toParent('ok')
      return
    }
    toParent('fail')
  })
  t.is(g.switch(), 'ok')
  t.is(g.throw(new RangeError()), 'ok')
  t.is(g.switch(), undefined)
  t.true(g.dead)
})

leakcheck('150 val: the caught error is the object that was thrown', (t) => {
  const error = new Error('ciao')
  const g = new Greenlet(() => {
    try {
      toParent('ok')
    } catch (caught) {
      if (caught === error && error.message === 'ciao') {
        toParent('ok')
        return
      }
    }
    toParent('fail')
  })
  t.is(g.switch(), 'ok')
  t.is(g.throw(error), 'ok')
  t.is(g.switch(), undefined)
})

leakcheck('151 kill: throw() without an error throws a GreenletExit, which the parent gets as a value', (t) => {
  const g = new Greenlet(() => {
    toParent('ok')
    toParent('fail')
  })
  t.is(g.switch(), 'ok')
  t.true(g.throw() instanceof GreenletExit)
  t.true(g.dead)
  t.true(g.throw() instanceof GreenletExit, 'eaten by the dead greenlet')
})

leakcheck('152 throw_goes_to_original_parent: an error ends an unstarted greenlet and goes to its parent', (t) => {
  class IndexError extends Error {}
  const catching = (): string => {
    try {
      main.switch('f1 ready to catch')
    } catch (error) {
      if (error instanceof IndexError) return 'caught'
      throw error
    }
    return 'normal exit'
  }
  const away = (): unknown => main.switch('from f2')

  let g1 = new Greenlet(catching)
  let g2 = new Greenlet(away, { parent: g1 })
  t.throws(() => g2.throw(new IndexError()), { instanceOf: IndexError })
  t.true(g1.dead && g2.dead)

  g1 = new Greenlet(catching)
  g2 = new Greenlet(away, { parent: g1 })
  t.is(g1.switch(), 'f1 ready to catch')
  t.is(g2.throw(new IndexError()), 'caught')
  t.true(g1.dead && g2.dead)

  g1 = new Greenlet(catching)
  g2 = new Greenlet(away, { parent: g1 })
  t.is(g1.switch(), 'f1 ready to catch')
  t.is(g2.switch(), 'from f2')
  t.is(g2.throw(new IndexError()), 'caught')
  t.true(g1.dead && g2.dead)
})

leakcheck('155 not_throwable: any value can be thrown, as in JavaScript itself', (t) => {
  for (const thrown of ['abc', 0, null, undefined, Symbol('s'), { message: 'no error' }, () => {}]) {
    const seen: unknown[] = []
    const g = new Greenlet(() => {
      try {
        main.switch()
      } catch (error) {
        seen.push(error)
      }
    })
    g.switch()
    g.throw(thrown)
    t.deepEqual(seen, [thrown])
    t.is(seen[0], thrown)
  }
  // No argument means a GreenletExit.
  const g = new Greenlet(() => main.switch())
  g.switch()
  t.true(g.throw() instanceof GreenletExit)
})
