import test from 'ava'
import { Greenlet, GreenletError } from '../js/index.ts'

const { main } = Greenlet

test('run can be set until the start, and is undefined from then on', (t) => {
  const seen: unknown[] = []
  const g = new Greenlet()
  t.is(g.run, undefined)
  g.run = () => {
    seen.push(g.run)
    main.switch()
  }
  t.is(typeof g.run, 'function')
  t.false(Object.hasOwn(g, 'run'))
  g.switch()
  seen.push(g.run)
  t.throws(() => (g.run = () => {}), {
    instanceOf: GreenletError,
    code: 'ERR_GREENLET_STARTED',
    message: /greenlet-\d+/,
  })
  g.switch()
  seen.push(g.run)
  t.deepEqual(seen, [undefined, undefined, undefined])
})

test('run may be null', (t) => {
  const g = new Greenlet(null)
  t.is(g.run as unknown, null)
  t.throws(() => g.switch(), { instanceOf: TypeError, code: 'ERR_GREENLET_NO_RUN', message: /run/ })
})

test('a greenlet without run can neither be switched to nor thrown into', (t) => {
  const g = new Greenlet(undefined, { name: 'idle' })
  const expected = { instanceOf: TypeError, code: 'ERR_GREENLET_NO_RUN', message: /'idle' has no run/ }
  t.throws(() => g.switch(), expected)
  t.throws(() => g.throw(new Error('not this one')), expected)
  t.is(g.state, 'unstarted')
  g.run = () => 'later'
  t.is(g.switch(), 'later')
})

test('a function is called without this, and a method is called on the greenlet', (t) => {
  const seen: unknown[] = []
  new Greenlet(function (this: unknown) {
    seen.push(this)
  }).switch()

  class Worker extends Greenlet {
    job = 'dig'
    override run(x: number): string {
      seen.push(this)
      return this.job + x
    }
  }
  const worker = new Worker()
  t.is(worker.switch(1), 'dig1')
  t.deepEqual(
    seen.map((it) => it === worker),
    [false, true],
  )
  t.is(seen[0], undefined)
  t.true(worker instanceof Greenlet)
  t.is(typeof worker.run, 'function')
})

test('a subclass may leave run to its own subclasses', (t) => {
  abstract class Job extends Greenlet {
    constructor() {
      if (new.target === Job) throw new TypeError('Job is abstract')
      super()
    }
  }
  class Dig extends Job {
    override run(): string {
      return 'dug'
    }
  }
  t.throws(() => Reflect.construct(Job, []), { message: 'Job is abstract' })
  t.is(new Dig().switch(), 'dug')
})

test('fields of a subclass and properties that are added are kept', (t) => {
  const g = new Greenlet(() => (Greenlet.current as Greenlet & { test: number }).test) as Greenlet & { test: number }
  g.test = 42
  t.deepEqual(Object.keys(g), ['serial', 'test'])
  t.is(g.switch(), 42)
  t.is(g.test, 42)
})

/** A class whose `run` is found by `look`. */
function looking(look: (this: Greenlet) => unknown, { parent = main } = {}): Greenlet {
  class Looking extends Greenlet {}
  Object.defineProperty(Looking.prototype, 'run', { get: look })
  return new Looking(undefined, { parent })
}

test('an error from a getter of run is thrown by the switch, and the greenlet has not started', (t) => {
  const error = new Error('no run today')
  const g = looking(() => {
    throw error
  })
  t.is(
    t.throws(() => g.switch()),
    error,
  )
  t.is(
    t.throws(() => g.throw(new Error('lost'))),
    error,
  )
  t.is(g.state, 'unstarted')
})

test('an error thrown into an unstarted greenlet survives what its getter catches', (t) => {
  const error = new Error('the one')
  const g = looking(() => {
    try {
      throw new Error('inner')
    } catch {
      return () => {}
    }
  })
  t.is(
    t.throws(() => g.throw(error)),
    error,
  )
  t.true(g.dead)
})

test('a getter of run may start the greenlet by itself', (t) => {
  let count = 0
  const g: Greenlet = looking(() => {
    if (count++ === 0) g.switch(43)
    return (value: unknown) => {
      for (;;) g.parent!.switch(value)
    }
  })
  t.is(g.switch(42), 43)
  g.kill()
})

test('a getter of run that switches delays the switch to the greenlet', (t) => {
  // greenlet's fail_initialstub_already_started.py
  const log: unknown[] = []
  const a = new Greenlet((...args: unknown[]) => void log.push(['a begins', ...args]))
  let starting = false
  const b: Greenlet = looking(
    () => {
      if (!starting) {
        starting = true
        log.push('b is looked up')
        b.switch()
        log.push('b is found')
      }
      return (...args: unknown[]) => {
        log.push(['b begins', ...args])
        main.switch('from b')
      }
    },
    { parent: a },
  )
  const c = new Greenlet(
    () => {
      log.push('c begins')
      b.switch('from c')
      log.push('c ends')
    },
    { parent: b },
  )
  log.push(c.switch())
  c.switch()
  t.deepEqual([a.dead, b.dead, c.dead], [true, true, false])
  log.push(c.switch())
  t.true(c.dead)
  t.deepEqual(log, [
    'c begins',
    'b is looked up',
    ['b begins'],
    'from b',
    'b is found',
    ['a begins', undefined],
    'c ends',
    undefined,
  ])
})

test('a parent that cannot start gets nothing, and the error goes to its own parent', (t) => {
  const g = new Greenlet(() => 1, { parent: new Greenlet() })
  t.throws(() => g.switch(), { code: 'ERR_GREENLET_NO_RUN' })

  const seen: number[] = []
  const error = new Error('perverse')
  const parent = looking(() => {
    throw error
  })
  const child = new Greenlet(() => void seen.push(42), { parent })
  t.is(
    t.throws(() => child.switch()),
    error,
  )
  t.is(
    t.throws(() => child.switch()),
    error,
  )
  t.deepEqual(seen, [42])
})
