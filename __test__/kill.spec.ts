import test from 'ava'
import { Greenlet, GreenletError, GreenletExit } from '../js/index.ts'

const { main } = Greenlet

test('kill() ends a suspended greenlet, after its finally blocks', (t) => {
  const log: string[] = []
  const g = new Greenlet(() => {
    try {
      main.switch()
    } finally {
      log.push('finally')
    }
  })
  g.switch()
  t.is(g.kill() as unknown, undefined)
  t.true(g.dead)
  t.deepEqual(log, ['finally'])
})

test('kill() of a dead greenlet does nothing', (t) => {
  const g = new Greenlet(() => {})
  g.switch()
  g.kill()
  t.true(g.dead)
})

test('kill() of an unstarted greenlet ends it without running it', (t) => {
  let ran = false
  const g = new Greenlet(() => (ran = true))
  g.kill()
  t.true(g.dead)
  t.is(g.switch('to the parent'), 'to the parent')
  t.false(ran)
})

test('a greenlet that kills itself throws at that place', (t) => {
  const log: unknown[] = []
  const g: Greenlet = new Greenlet(() => {
    try {
      g.kill()
    } catch (error) {
      log.push(error)
      throw error
    }
  })
  const exit = g.switch()
  t.true(exit instanceof GreenletExit)
  t.deepEqual(log, [exit])
  t.true(g.dead)
})

test('main cannot be killed', (t) => {
  const expected = { instanceOf: GreenletError, code: 'ERR_GREENLET_MAIN', message: /main cannot be killed/ }
  t.throws(() => main.kill(), expected)
  t.throws(() => new Greenlet(() => main.kill()).switch(), expected)
})

test('the result of a killed greenlet goes to the killer, not to its parent', (t) => {
  const log: unknown[] = []
  const parent = new Greenlet(() => log.push(main.switch()))
  parent.switch()
  const g = new Greenlet(
    () => {
      try {
        main.switch()
      } catch {
        log.push(Greenlet.current.parent === main)
        return 'result'
      }
      return undefined
    },
    { parent },
  )
  g.switch()
  t.is(g.parent, parent)
  g.kill()
  t.deepEqual(log, [true])
  t.is(g.parent, parent)
  t.is(parent.state, 'suspended')
  parent.kill()
})

test('kill() throws the error with which the killed greenlet ends', (t) => {
  const error = new Error('in finally')
  const g = new Greenlet(() => {
    try {
      main.switch()
    } finally {
      // oxlint-disable-next-line no-unsafe-finally -- this is what the test is about
      throw error
    }
  })
  g.switch()
  t.is(
    t.throws(() => g.kill()),
    error,
  )
  t.true(g.dead)
})

test('kill() of a greenlet that refuses to die throws an error with its name', (t) => {
  const parents: unknown[] = []
  const g = new Greenlet(
    () => {
      try {
        main.switch()
      } catch {
        parents.push(Greenlet.current.parent)
        main.switch('no')
        parents.push(Greenlet.current.parent)
      }
    },
    { name: 'stubborn', parent: new Greenlet(() => 'hub') },
  )
  g.switch()
  t.throws(() => g.kill(), {
    instanceOf: GreenletError,
    code: 'ERR_GREENLET_KILL_REFUSED',
    message: /'stubborn' is still alive/,
  })
  t.is(g.state, 'suspended')
  t.is(g.switch(), 'hub')
  t.is(parents[0], main)
  t.is(String(parents[1]), String(g.parent))
  t.true(g.dead)
})

test('a child kills its parent', (t) => {
  const log: string[] = []
  const parent = new Greenlet(() => {
    try {
      const child = new Greenlet(() => {
        parent.kill()
        log.push(`killed: ${parent.dead}`)
        return 'child ends'
      })
      child.switch()
    } finally {
      log.push('parent ends')
    }
  })
  t.is(parent.switch(), 'child ends')
  t.deepEqual(log, ['parent ends', 'killed: true'])
})

test('a greenlet may get another parent while it is being killed', (t) => {
  const other = new Greenlet((got: unknown) => main.switch(['other got', got]))
  const g = new Greenlet(() => {
    try {
      main.switch()
    } catch {
      Greenlet.current.parent = other
      return 'result'
    }
    return undefined
  })
  g.switch()
  g.kill()
  t.true(g.dead)
  t.is(g.parent, other)
  t.is(other.state, 'suspended')
  other.kill()
})

// property/programs.spec.ts found this one.
test('if two greenlets kill the same one, the last gets its result, and the first if the last was refused', (t) => {
  const exits: GreenletExit[] = []
  const victim: Greenlet = new Greenlet(() => {
    for (const next of [main, second, main]) {
      try {
        next.switch('not yet')
      } catch (error) {
        exits.push(error as GreenletExit)
      }
    }
    throw new RangeError('of the victim')
  })
  const first = new Greenlet(() => t.throws(() => victim.kill()))
  const second = new Greenlet(() => t.throws(() => victim.kill()))
  victim.switch()
  // `first` kills the victim, which lets `second` kill it, and refuses that by switching to main, inside of first.switch().
  t.is(first.switch(), 'not yet')
  t.is(victim.parent, second)
  t.like(second.switch('enough'), { code: 'ERR_GREENLET_KILL_REFUSED' })
  t.is(victim.parent, first)
  t.like(victim.switch(), { message: 'of the victim' })
  t.is(exits.length, 2)
  t.true(first.dead && second.dead && victim.dead)
})

test('using kills the greenlet at the end of the block', (t) => {
  const g = new Greenlet(() => main.switch())
  g.switch()
  g[Symbol.dispose]()
  t.true(g.dead)
})

test('kill() ends a thousand suspended greenlets', (t) => {
  let ended = 0
  const all = Array.from({ length: 1000 }, () => {
    const g = new Greenlet(() => {
      try {
        main.switch()
      } finally {
        ended++
      }
    })
    g.switch()
    return g
  })
  for (const g of all) g.kill()
  t.is(ended, 1000)
})
