import test from 'ava'
import { Greenlet, GreenletExit, settrace } from '../js/index.ts'

const { main } = Greenlet

/** Tells main that it is ready, then returns the error that it caught. */
function catcher(): unknown {
  try {
    main.switch('ready')
  } catch (error) {
    return ['caught', error]
  }
  return 'nothing'
}

test('throw() throws where the greenlet is suspended', (t) => {
  const error = new RangeError('ciao')
  const g = new Greenlet(catcher)
  t.is(g.switch(), 'ready')
  t.deepEqual(g.throw(error), ['caught', error])
})

test('any value can be thrown, and arrives unchanged', (t) => {
  for (const thrown of ['abc', 0, null, Symbol('s'), { a: 1 }]) {
    const g = new Greenlet(catcher)
    g.switch()
    t.is(g.throw<unknown[]>(thrown)[1], thrown)
  }
})

test('throw(undefined) throws undefined; throw() without an argument throws a GreenletExit', (t) => {
  const [first, second] = [new Greenlet(catcher), new Greenlet(catcher)]
  first.switch()
  second.switch()
  t.deepEqual(first.throw(undefined), ['caught', undefined])
  t.true(second.throw<unknown[]>()[1] instanceof GreenletExit)
})

test('an error that leaves run goes to the parent, as the same object with its stack', (t) => {
  const error = new Error('up')
  const { stack } = error
  const g = new Greenlet(() => {
    throw error
  })
  t.is(
    t.throws(() => g.switch()),
    error,
  )
  t.is(error.stack, stack)
  t.true(g.dead)
})

function deep(): never {
  throw new Error('made deep')
}

test('the stack of an error names the functions of the greenlet it was made in', (t) => {
  const error = t.throws(() => new Greenlet(() => deep()).switch())
  t.regex(error.stack!, /at deep /)
})

test('an error passes through a parent that is suspended', (t) => {
  const seen: unknown[] = []
  const error = new Error('through')
  const run = (fail: boolean) => {
    try {
      main.switch()
      if (fail) throw error
    } catch (caught) {
      seen.push(caught)
      throw caught
    }
  }
  const [g1, g2] = [new Greenlet(run), new Greenlet(run)]
  g1.switch(false)
  g2.switch(true)
  g2.parent = g1
  t.is(
    t.throws(() => g2.switch()),
    error,
  )
  t.deepEqual(seen, [error, error])
  t.true(g1.dead && g2.dead)
})

test('an uncaught error of a child is thrown in its parent', (t) => {
  const error = new Error('sent')
  const g = new Greenlet(catcher)
  g.switch()
  const child = new Greenlet(
    () => {
      throw error
    },
    { parent: g },
  )
  t.deepEqual(child.switch(), ['caught', error])
})

test('throw() without an error throws a GreenletExit, which the parent gets as a value', (t) => {
  let seen: unknown
  const g = new Greenlet(() => {
    try {
      main.switch('ok')
    } catch (error) {
      seen = error
      throw error
    }
  })
  t.is(g.switch(), 'ok')
  const exit = g.throw()
  t.true(exit instanceof GreenletExit)
  t.is(exit, seen)
  t.true(g.dead)
  t.true(g.throw() instanceof GreenletExit)
})

test('a GreenletExit of a subclass, or one that the program made, also ends a greenlet quietly', (t) => {
  class Enough extends GreenletExit {}
  const enough = new Enough('tired')
  const g = new Greenlet(() => {
    throw enough
  })
  t.is(g.switch(), enough)
  t.is(enough.message, 'tired')
})

test('an error thrown into an unstarted greenlet ends it and goes to its parent', (t) => {
  let ran = false
  const g = new Greenlet(() => (ran = true))
  const error = new Error('too early')
  t.is(
    t.throws(() => g.throw(error)),
    error,
  )
  t.true(g.dead)
  t.false(ran)

  const h = new Greenlet(() => (ran = true))
  t.true(h.throw() instanceof GreenletExit)
  t.true(h.dead)
  t.false(ran)
})

function trap(): string {
  try {
    main.switch('ready')
  } catch {
    return 'trapped'
  }
  return 'not trapped'
}

function away(): void {
  main.switch('away')
}

test('an error goes to the parent that the greenlet was made with', (t) => {
  const error = new Error('for the parent')
  // Neither of them has started, so both end.
  let [g1, g2] = chain(trap, away)
  t.is(
    t.throws(() => g2.throw(error)),
    error,
  )
  t.true(g1.dead && g2.dead)

  // The parent has started.
  ;[g1, g2] = chain(trap, away)
  t.is(g1.switch(), 'ready')
  t.is(g2.throw(error), 'trapped')
  t.true(g1.dead && g2.dead)

  // Both have started.
  ;[g1, g2] = chain(trap, away)
  t.is(g1.switch(), 'ready')
  t.is(g2.switch(), 'away')
  t.is(g2.throw(error), 'trapped')
  t.true(g1.dead && g2.dead)
})

function chain(outer: () => unknown, inner: () => unknown): [Greenlet, Greenlet] {
  const parent = new Greenlet(outer)
  return [parent, new Greenlet(inner, { parent })]
}

test('an error thrown into a dead greenlet goes to its parent', (t) => {
  const error = new Error('late')
  const g = new Greenlet(() => {})
  g.switch()
  t.is(
    t.throws(() => g.throw(error)),
    error,
  )
})

test('throw() into the current greenlet throws at that place', (t) => {
  const error = new Error('here')
  t.is(
    t.throws(() => main.throw(error)),
    error,
  )
  const g: Greenlet = new Greenlet(() => {
    try {
      g.throw(error)
    } catch (caught) {
      return caught
    }
    return undefined
  })
  t.is(g.switch(), error)
})

test('an error thrown into main arrives in its switch', (t) => {
  const error = new Error('for main')
  const g = new Greenlet(() => main.throw(error))
  t.is(
    t.throws(() => g.switch()),
    error,
  )
  t.is(g.state, 'suspended')
  g.kill()
})

test('a thrown value for which instanceof fails does no harm', (t) => {
  const evil = new Proxy(
    {},
    {
      getPrototypeOf() {
        throw new Error('evil')
      },
    },
  )
  const g = new Greenlet(() => {
    throw evil
  })
  try {
    g.switch()
    t.fail()
  } catch (error) {
    t.is(error, evil)
  }
})

test('finally blocks run when an error leaves a greenlet', (t) => {
  const log: string[] = []
  const g = new Greenlet(() => {
    try {
      try {
        main.switch()
      } finally {
        log.push('inner')
        main.switch('cleaning')
      }
    } finally {
      log.push('outer')
    }
  })
  g.switch()
  t.is(g.throw(), 'cleaning')
  t.false(g.dead)
  t.true(g.switch() instanceof GreenletExit)
  t.deepEqual(log, ['inner', 'outer'])
})

// property/programs.spec.ts found this one, against Python's greenlet.
test('if the parent of an unstarted greenlet cannot start, the next parent gets that error, and the thrower does not', (t) => {
  for (const trace of [null, () => {}]) {
    settrace(trace)
    const parent = new Greenlet(null, { name: 'idle' })
    const child = new Greenlet(() => {}, { parent })
    const thrower = new Greenlet(() => child.throw(new Error('lost')))
    t.throws(() => thrower.switch(), { code: 'ERR_GREENLET_NO_RUN', message: /'idle'/ })
    t.deepEqual([child.state, parent.state, thrower.state], ['dead', 'unstarted', 'suspended'])
    settrace(null)
  }
})
