// `Fiber` behaves as that of node-fibers 5; shared behaviour of greenlets, such as AsyncLocalStorage, is in beyond.spec.ts.

import vm from 'node:vm'
import test from 'ava'
import Fiber, { greenletOf } from '../../js/fibers/index.ts'
import { Greenlet, sleep, spawn, wait } from '../../js/index.ts'

/** Suspends a fiber for good, which is `BUSY` then: it runs another one. */
function inside<T>(fiber: Fiber, check: () => T): T {
  let result: T | undefined
  Fiber(() => (result = check())).run()
  void fiber
  return result as T
}

test('Fiber() makes the same with and without new', (t) => {
  for (const fiber of [Fiber(() => 1), new Fiber(() => 1)]) {
    t.true(fiber instanceof Fiber)
    t.is(fiber.constructor, Fiber)
    t.false(fiber.started)
    t.is(fiber.run(), 1)
  }
})

test('Fiber() takes exactly one function', (t) => {
  const make = Fiber as unknown as (...args: unknown[]) => unknown
  const one = { instanceOf: TypeError, message: 'Fiber expects 1 argument' }
  t.throws(() => make(), one)
  t.throws(
    () =>
      make(
        () => {},
        () => {},
      ),
    one,
  )
  t.throws(() => make(5), { instanceOf: TypeError, message: 'Fiber expects a function' })
})

test('a subclass of Fiber has its methods', (t) => {
  class Task extends (Fiber as unknown as new (fn: () => unknown) => Fiber) {
    twice(): unknown[] {
      return [this.run(), this.run()]
    }
  }
  const task = new Task(() => Fiber.yield(1) ?? 2)
  t.true(task instanceof Task && task instanceof Fiber)
  t.deepEqual(task.twice(), [1, 2])
})

test('run() passes its argument to the function, then to yield(), and returns what comes back', (t) => {
  const fiber = Fiber((...args: unknown[]) => {
    const second = Fiber.yield(args)
    const third = Fiber.yield(second)
    return [third]
  })
  t.deepEqual(fiber.run('a'), ['a'])
  t.is(fiber.run('b'), 'b')
  t.deepEqual(fiber.run(), [undefined])
})

test('run() without an argument calls the function without one', (t) => {
  t.is(Fiber((...args: unknown[]) => args.length).run(), 0)
  t.is(Fiber((...args: unknown[]) => args.length).run(undefined), 1)
})

test('the function is called with the global object as this', (t) => {
  const fiber = Fiber(new Function('return this') as () => unknown)
  t.is(fiber.run(), globalThis)
})

test('an error of the function arrives at the caller of run(), as the same object', (t) => {
  const error = new Error('boom')
  const fiber = Fiber(() => {
    Fiber.yield()
    throw error
  })
  fiber.run()
  t.is(
    t.throws(() => fiber.run()),
    error,
  )
  t.false(fiber.started)
})

test('a fiber that has returned or thrown starts anew', (t) => {
  let times = 0
  const fiber = Fiber((x: unknown) => {
    times++
    if (times === 2) throw new Error('second')
    return [x, Fiber.yield(times)]
  })
  t.is(fiber.run('a'), 1)
  t.deepEqual(fiber.run('b'), ['a', 'b'])
  t.throws(() => fiber.run(), { message: 'second' })
  t.is(fiber.run('c'), 3)
  t.deepEqual(fiber.run('d'), ['c', 'd'])
})

test('run() refuses a fiber that runs, or that has called run() of another one', (t) => {
  const message = 'This Fiber is already running'
  const fiber: Fiber = Fiber(() => {
    t.throws(() => fiber.run(), { message })
    inside(fiber, () => {
      t.throws(() => fiber.run(), { message })
      t.throws(() => fiber.throwInto(), { message: 'This Fiber is not yielding' })
      t.throws(() => fiber.reset(), { message: 'This Fiber is not yielding' })
    })
    return Fiber.yield('still works')
  })
  t.is(fiber.run(), 'still works')
  t.is(fiber.run('end'), 'end')
})

test('run(), throwInto(), reset() and yield() count their arguments', (t) => {
  const fiber = Fiber(() => {
    t.throws(() => (Fiber.yield as (...args: unknown[]) => void)(1, 2), {
      instanceOf: TypeError,
      message: 'yield() expects 1 or no arguments',
    })
    return Fiber.yield()
  }) as unknown as Record<'run' | 'throwInto' | 'reset', (...args: unknown[]) => unknown>
  const run = { instanceOf: TypeError, message: 'run() excepts 1 or no arguments' }
  t.throws(() => fiber.run(1, 2), run)
  fiber.run()
  t.throws(() => fiber.run(1, 2), run)
  t.throws(() => fiber.throwInto(1, 2), { instanceOf: TypeError, message: 'throwInto() expects 1 or no arguments' })
  t.throws(() => fiber.reset(1), { instanceOf: TypeError, message: 'reset() expects no arguments' })
  t.is(fiber.run('end'), 'end')
})

test('methods refuse objects that are no fibers', (t) => {
  for (const method of ['run', 'throwInto', 'reset'] as const) {
    for (const receiver of [null, {}, Object.create(Fiber.prototype)]) {
      t.throws(() => Reflect.apply(Fiber.prototype[method], receiver, []), { instanceOf: TypeError })
    }
  }
})

test('yield() needs a fiber', (t) => {
  const message = 'yield() called with no fiber running'
  t.throws(() => Fiber.yield(), { message })
  t.is(Fiber.current, undefined)
  new Greenlet(() => {
    t.throws(() => Fiber.yield(), { message })
    t.is(Fiber.current, undefined)
  }).switch()
})

test('throwInto() throws where the fiber is suspended, and refuses one that is not', (t) => {
  const message = 'This Fiber is not yielding'
  const fiber = Fiber(() => {
    const caught: unknown[] = []
    for (let i = 0; i < 2; i++) {
      try {
        Fiber.yield(i)
      } catch (error) {
        caught.push(error)
      }
    }
    return caught
  })
  t.throws(() => fiber.throwInto(1), { message })
  fiber.run()
  t.is(fiber.throwInto('x'), 1)
  t.deepEqual(fiber.throwInto(), ['x', undefined])
  t.throws(() => fiber.throwInto(1), { message })
})

test('started is true from the first run() to the end', (t) => {
  const seen: boolean[] = []
  const fiber: Fiber = Fiber(() => {
    seen.push(fiber.started)
    Fiber.yield()
  })
  seen.push(fiber.started)
  fiber.run()
  seen.push(fiber.started)
  fiber.run()
  t.deepEqual([...seen, fiber.started], [false, true, true, false])
})

test('a value that is yielded goes to the caller of run(), whichever fiber that is', (t) => {
  const inner = Fiber(() => {
    for (let i = 0; ; i++) Fiber.yield(i)
  })
  const outer = Fiber(() => {
    const first = inner.run()
    Fiber.yield(first)
    return inner.run()
  })
  t.is(outer.run(), 0)
  t.is(inner.run(), 1)
  t.is(outer.run(), 2)
  inner.reset()
})

test('Fiber.current is the fiber that runs, after each switch', (t) => {
  const seen: unknown[] = []
  const inner: Fiber = Fiber(() => {
    seen.push(Fiber.current === inner)
    Fiber.yield()
    seen.push(Fiber.current === inner)
  })
  const outer: Fiber = Fiber(() => {
    inner.run()
    seen.push(Fiber.current === outer)
    inner.run()
    seen.push(Fiber.current === outer)
  })
  outer.run()
  t.deepEqual(seen, [true, true, true, true])
  t.is(Fiber.current, undefined)
})

test('reset() throws the same Error at each yield() until the function ends', (t) => {
  const caught: Error[] = []
  const fiber = Fiber(() => {
    for (let i = 0; i < 1000; i++) {
      try {
        Fiber.yield()
      } catch (error) {
        caught.push(error as Error)
      }
    }
    return 'the end'
  })
  t.is(fiber.reset(), undefined)
  fiber.run()
  t.is(fiber.reset(), 'the end')
  t.is(caught.length, 1000)
  t.is(new Set(caught).size, 1)
  t.is(String(caught[0]), 'Error: This Fiber is a zombie')
  t.is(caught[0]!.constructor, Error)
  t.false(fiber.started)
  // It starts anew, and not as a zombie.
  fiber.run()
  t.is(caught.length, 1000)
  fiber.reset()
})

test('reset() swallows its own error only', (t) => {
  const plain = Fiber(() => Fiber.yield())
  plain.run()
  t.is(plain.reset(), undefined)
  const other = Fiber(() => {
    try {
      Fiber.yield()
    } finally {
      throwError()
    }
  })
  other.run()
  t.throws(() => other.reset(), { message: 'another' })

  function throwError(): never {
    throw new Error('another')
  }
})

test('reset() in a fiber returns to that fiber', (t) => {
  const victim = Fiber(() => {
    try {
      return Fiber.yield()
    } catch {
      return 'cleaned up'
    }
  })
  victim.run()
  const outer = Fiber(() => [victim.reset(), Fiber.yield(1)])
  t.is(outer.run(), 1)
  t.deepEqual(outer.run(2), ['cleaned up', 2])
})

test('yield() from native callbacks', (t) => {
  const fiber = Fiber(() => {
    const sorted = [3, 1, 2].sort((a, b) => {
      Fiber.yield('sort')
      return a - b
    })
    const replaced = 'ab'.replaceAll(/./g, (c) => String(Fiber.yield(c)))
    const parsed: unknown = JSON.parse('[1]', (_, value: unknown) =>
      Array.isArray(value) ? value : Fiber.yield(value),
    )
    return [sorted, replaced, parsed, [...new Set([1]).values()].map((x) => Fiber.yield(x))]
  })
  let value: unknown = fiber.run()
  let switches = 0
  for (; fiber.started; switches++) value = fiber.run(0)
  t.deepEqual(value, [[1, 2, 3], '00', [0], [0]])
  t.true(switches >= 6)
})

test('a stack overflow in a fiber is a RangeError, and the fiber goes on', (t) => {
  const depth = (): number => 1 + depth()
  const fiber = Fiber(() => {
    t.throws(() => depth(), { instanceOf: RangeError })
    return Fiber.yield('fine')
  })
  t.is(fiber.run(), 'fine')
  t.is(fiber.run(1), 1)
})

test.serial('fibersCreated counts stacks, of which poolSize are kept', (t) => {
  const before = Fiber.fibersCreated
  t.is(Fiber.poolSize, 120)
  for (let i = 0; i < 10; i++) Fiber(() => {}).run()
  t.true(Fiber.fibersCreated <= before + 1)
  const many = Array.from({ length: 300 }, () => Fiber(() => Fiber.yield()))
  for (const fiber of many) fiber.run()
  t.true(Fiber.fibersCreated >= 300)
  for (const fiber of many) fiber.run()
  Fiber.poolSize = 5
  t.is(Fiber.poolSize, 5)
  Fiber.poolSize = 120
})

test('process.fiberLib is Fiber', (t) => {
  t.is((process as { fiberLib?: unknown }).fiberLib, Fiber)
})

test("wait() and sleep() in a fiber: main goes on, then the fiber yields to its runner's caller", async (t) => {
  const log: unknown[] = []
  const fiber: Fiber = Fiber(() => {
    log.push(Fiber.current === fiber)
    log.push(wait(Promise.resolve('value')))
    log.push(Fiber.current === fiber)
    sleep(1)
    Fiber.yield('dropped')
    log.push('resumed')
  })
  t.is(fiber.run(), undefined)
  t.is(Fiber.current, undefined)
  t.true(fiber.started)
  t.throws(() => fiber.run(), { message: 'This Fiber is already running' })
  while (log.length < 3) await new Promise((resolve) => setImmediate(resolve))
  while (!yields(fiber)) await new Promise((resolve) => setTimeout(resolve, 1))
  t.deepEqual(log, [true, 'value', true, 'resumed'])
})

/** Runs the fiber if it yields. Returns whether it did. */
function yields(fiber: Fiber): boolean {
  try {
    fiber.run()
    return true
  } catch {
    return false
  }
}

test('a fiber that runs another one, which waits, is kept and goes on when that one yields', async (t) => {
  const log: unknown[] = []
  const inner = Fiber(() => {
    wait(new Promise((resolve) => setTimeout(resolve, 1)))
    Fiber.yield('from inner')
  })
  Fiber(() => {
    log.push(inner.run())
  }).run()
  t.deepEqual(log, [])
  while (log.length === 0) await new Promise((resolve) => setTimeout(resolve, 1))
  t.deepEqual(log, ['from inner'])
  inner.run()
})

test('greenletOf() gives the greenlet of each start, and its stack', (t) => {
  const fiber: Fiber = Fiber(function body() {
    Fiber.yield(Greenlet.current)
  })
  t.is(greenletOf(fiber), undefined)
  const current = fiber.run<Greenlet>()
  const greenlet = greenletOf(fiber)!
  t.is(greenlet, current)
  t.is(greenlet.name, 'body')
  t.is(greenlet.parent, Greenlet.main)
  t.deepEqual(
    greenlet.gr_stack.map((frame) => frame.functionName),
    ['body'],
  )
  t.true(Greenlet.all().includes(greenlet))
  fiber.run()
  t.is(greenletOf(fiber), undefined)
  t.true(greenlet.dead)
  fiber.run()
  t.not(greenletOf(fiber), greenlet)
  fiber.run()
})

test('kill() of the greenlet ends the fiber as reset() does, and throw() throws in it', (t) => {
  const caught: unknown[] = []
  const body = (): void => {
    for (let i = 0; i < 3; i++) {
      try {
        Fiber.yield()
      } catch (error) {
        caught.push(error)
      }
    }
  }
  const fiber = Fiber(body)
  fiber.run()
  greenletOf(fiber)!.kill()
  t.false(fiber.started)
  t.is(new Set(caught).size, 1)
  t.is(String(caught[0]), 'Error: This Fiber is a zombie')
  fiber.run()
  greenletOf(fiber)!.throw(7)
  t.is(caught.at(-1), 7)
  fiber.reset()
})

test('fibers and greenlets run each other', async (t) => {
  const fiber = Fiber(() => {
    const inner = new Greenlet((x: number) => Greenlet.current.parent!.switch(x + 1))
    const one = inner.switch(1)
    return [one, Fiber.yield(inner.switch('done'))]
  })
  t.is(fiber.run(), 'done')
  t.deepEqual(fiber.run('end'), [2, 'end'])
  t.is(
    await spawn(() => {
      const inSpawned = Fiber(() => Fiber.yield(1))
      return [inSpawned.run(), inSpawned.run(2)].join(' ')
    }),
    '1 2',
  )
})

test('run() that cannot leave its stack changes nothing', (t) => {
  const fiber = Fiber((x: unknown) => [x, Fiber.yield(1)])
  t.is(fiber.run('x'), 1)
  const other = Fiber(() => {})
  const errors: string[] = []
  const attempt = (call: () => void): void => {
    try {
      call()
    } catch (error) {
      errors.push((error as { code: string }).code)
    }
  }
  // The stack of a script with a time limit must not be left.
  const attempts = (): void => {
    attempt(() => fiber.run('refused'))
    attempt(() => other.run())
    attempt(() => fiber.reset())
    attempt(() => fiber.throwInto(1))
  }
  new Greenlet(() => vm.runInNewContext('attempts()', { attempts }, { timeout: 60_000 })).switch()
  t.deepEqual(
    errors,
    Array.from({ length: 4 }, () => 'ERR_GREENLET_FORBIDDEN'),
  )
  t.true(fiber.started)
  t.false(other.started)
  t.deepEqual(fiber.run('y'), ['x', 'y'])
  t.is(other.run(), undefined)
})
