// How a greenlet starts if its run is a getter with side effects, and what starts an unstarted parent.

import test from 'ava'
import { Greenlet } from '../../js/index.ts'
import { leakcheck } from '../helpers/leakcheck.ts'

const { main } = Greenlet
class SomeError extends Error {}

type Run = (...args: never[]) => unknown

/** A class of greenlets in which `look` looks up run, as Python's `__getattribute__` can. */
function looking(look: (g: Greenlet, given: Run | undefined) => unknown): typeof Greenlet {
  class Looking extends Greenlet {}
  const { get, set } = Object.getOwnPropertyDescriptor(Greenlet.prototype, 'run') as Required<PropertyDescriptor>
  Object.defineProperty(Looking.prototype, 'run', {
    get(this: Greenlet) {
      return look(this, get.call(this) as Run | undefined)
    },
    set,
  })
  return Looking
}

leakcheck('64 parent_return_failure: if a parent cannot start, the error goes to its own parent', (t) => {
  const g1 = new Greenlet()
  const g2 = new Greenlet(() => {}, { parent: g1 })
  t.throws(() => g2.switch(), { instanceOf: TypeError, code: 'ERR_GREENLET_NO_RUN' })
  t.true(g2.dead)
})

leakcheck(
  '65 throw_exception_not_lost: an error that is caught while run is looked up does not replace the thrown one',
  (t) => {
    const Catching = looking((_, given) => {
      try {
        throw new Error('on the way')
      } catch {
        return given
      }
    })
    const error = new SomeError()
    const g = new Catching(() => {})
    t.is(
      t.throws(() => g.throw(error)),
      error,
    )
    t.true(g.dead)
  },
)

leakcheck('68 recursive_startup: a greenlet may be started while its run is looked up', (t) => {
  let count = 0
  const repeat = (value: number): void => {
    for (;;) main.switch(value)
  }
  const Convoluted = looking((g) => {
    if (count++ === 0) g.switch(43)
    return repeat
  })
  const g = new Convoluted()
  t.is(g.switch(42), 43)
  t.is(count, 2)
  g.kill()
})

leakcheck('71 tuple_subclass: arguments may switch while they are spread', (t) => {
  const other = new Greenlet(() => main.switch())
  class Args {
    // oxlint-disable-next-line require-yield -- the test is about what runs before the end
    *[Symbol.iterator](): Generator<never> {
      t.is(Greenlet.current.switch('to itself'), 'to itself')
      other.switch()
    }
  }
  const g = new Greenlet(() => main.switch(...new Args(), { a: 42 }))
  t.is(g.switch(), undefined, 'from the other one, while the arguments are not all there')
  t.deepEqual(other.switch(), undefined)
  t.deepEqual(g.switch('goes on'), { a: 42 })
  g.kill()
  t.true(other.dead)
})

leakcheck('72 abstract_subclasses: an abstract class cannot be constructed', (t) => {
  class Abstract extends Greenlet {
    constructor() {
      super()
      if (new.target.prototype.run === Abstract.prototype.run) throw new TypeError('run is abstract')
    }
    override run(): unknown {
      return undefined
    }
  }
  class Bad extends Abstract {}
  class Good extends Abstract {
    override run(): string {
      return 'good'
    }
  }
  t.is(new Good().switch(), 'good')
  t.throws(() => new Bad(), { instanceOf: TypeError, message: 'run is abstract' })
  class Forgetful extends Greenlet {}
  t.throws(() => new Forgetful().switch(), { instanceOf: TypeError, code: 'ERR_GREENLET_NO_RUN' })
})

leakcheck('76 falling_off_end_switches_to_unstarted_parent_raises_error: JavaScript ignores an extra argument', (t) => {
  let runs = 0
  const parent = new Greenlet(function noArguments() {
    runs++
    return 13
  })
  const child = new Greenlet(() => 42, { parent })
  t.is(child.switch(), 13)
  t.is(runs, 1)
  t.true(parent.dead && child.dead)
})

leakcheck(
  '77 falling_off_end_switches_to_unstarted_parent_works: the result of a child starts an unstarted parent',
  (t) => {
    const parent = new Greenlet((x: number) => [x, 24])
    const child = new Greenlet(() => 42, { parent })
    t.deepEqual(child.switch(), [42, 24])
  },
)

leakcheck(
  '78 switch_to_dead_greenlet_with_unstarted_perverse_parent: each switch fails, and the child ran once',
  (t) => {
    const Perverse = looking(() => {
      throw new SomeError()
    })
    const seen: number[] = []
    const child = new Greenlet(() => void seen.push(42), { parent: new Perverse() })
    t.throws(() => child.switch(), { instanceOf: SomeError })
    t.deepEqual(seen, [42])
    t.throws(() => child.switch(), { instanceOf: SomeError })
    t.deepEqual(seen, [42])
  },
)

leakcheck(
  '79 switch_to_dead_greenlet_reparent: a dead greenlet can get a parent, and a switch to it starts the parent',
  (t) => {
    const seen: number[] = []
    const parent = new Greenlet(() => void seen.push(24))
    const child = new Greenlet(() => void seen.push(42))
    child.switch()
    t.deepEqual(seen, [42])
    child.parent = parent
    t.is(child.switch(), undefined)
    t.deepEqual(seen, [42, 24])
  },
)

test('the getter of a Looking class runs once for each start', (t) => {
  let asked = 0
  const Counting = looking((_, given) => {
    asked++
    return given
  })
  new Counting(() => {}).switch()
  t.is(asked, 1)
})
