// Programs that misuse the API on purpose. None of them may crash, and greenlets must work afterwards.

import test, { type ExecutionContext } from 'ava'
import { Greenlet, GreenletExit, settrace, sleep, spawn, type SpawnedGreenlet, wait } from '../js/index.ts'
import { LANE } from './helpers/lane.ts'
import { runProgram } from './helpers/program.ts'

const { main } = Greenlet

/** Checks that greenlets work: one starts, switches both ways, catches a thrown error, and ends. */
function works(t: ExecutionContext): void {
  t.is(Greenlet.current, main)
  const error = new Error('in')
  const g = new Greenlet((x: number) => {
    try {
      return main.switch(x + 1)
    } catch (caught) {
      return caught
    }
  })
  t.is(g.switch(1), 2)
  t.is(g.throw(error), error)
  t.true(g.dead)
}

test.afterEach(works)

/** A Proxy of a function. Each use of it throws. */
function revoked(): never {
  const { proxy, revoke } = Proxy.revocable(function it() {}, {})
  revoke()
  return proxy as never
}

test('a revoked Proxy of a function fails when it is called', async (t) => {
  const g = new Greenlet(revoked())
  t.regex(g.name, /^greenlet-\d+$/)
  t.throws(() => g.switch(), { instanceOf: TypeError, message: /revoked/ })
  t.true(g.dead)
  await t.throwsAsync(async () => await spawn(revoked()), { message: /revoked/ })
})

test('a revoked Proxy can be thrown and caught unchanged', (t) => {
  const proxy = revoked()
  const g = new Greenlet(() => {
    try {
      main.switch()
    } catch (error) {
      main.switch(error === proxy)
    }
    throw proxy
  })
  g.switch()
  t.true(g.throw(proxy))
  try {
    g.switch()
    t.fail()
  } catch (error) {
    t.true(error === proxy)
  }
  // It also passes through dead greenlets, which check whether it is a GreenletExit.
  try {
    g.throw(proxy)
    t.fail()
  } catch (error) {
    t.true(error === proxy)
  }
})

test('a thrown Proxy may switch while its prototype is read', (t) => {
  const log: unknown[] = []
  const handler: ProxyHandler<Error> = {
    getPrototypeOf(error) {
      log.push(Greenlet.current === dying, main.switch('asked'))
      return Object.getPrototypeOf(error)
    },
  }
  const exit = new Proxy(new GreenletExit(), handler)
  const dying = new Greenlet(() => {
    throw exit
  })
  t.is(dying.switch(), 'asked')
  t.is(dying.state, 'suspended')
  let value = dying.switch('yes')
  while (value === 'asked') value = dying.switch('yes')
  t.is(value, exit)
  t.true(dying.dead)
  t.true(log.every((item) => item === true || item === 'yes'))
})

test('a thrown Proxy may kill the greenlet that it ends', (t) => {
  const error = new Proxy(new Error('x'), {
    getPrototypeOf() {
      if (Greenlet.current === dying) dying.kill()
      return Error.prototype
    },
  })
  const dying = new Greenlet(() => {
    throw error
  })
  t.is(
    t.throws(() => dying.switch(), { any: true }),
    error,
  )
  t.true(dying.dead)
})

test('getters of options may throw', (t) => {
  const error = new Error('from a getter')
  const options = {
    get parent(): never {
      throw error
    },
  }
  const before = Greenlet.all().length
  t.is(
    t.throws(() => new Greenlet(() => {}, options)),
    error,
  )
  t.is(Greenlet.all().length, before)
})

test('getters of options may switch, and the parent is the greenlet that called the constructor', (t) => {
  const maker = new Greenlet(() => {
    const options = {
      get name() {
        return main.switch('in a getter') as string
      },
    }
    return new Greenlet(() => {}, options)
  })
  t.is(maker.switch(), 'in a getter')
  const made = maker.switch<Greenlet>('late')
  t.is(made.name, 'late')
  t.is(made.parent, maker)
  t.is(made.switch('x'), undefined)
})

test('the name of a function may be anything', (t) => {
  for (const name of [5, '', Symbol('s'), null, {}, []]) {
    const run = Object.defineProperty(() => 'ran', 'name', { value: name })
    const g = new Greenlet(run)
    t.regex(g.name, /^greenlet-\d+$/)
    t.is(g.switch(), 'ran')
  }
  const run = Object.defineProperty(() => 'ran', 'name', {
    get() {
      throw new Error('of the name')
    },
  })
  t.is(new Greenlet(run).switch(), 'ran')
})

test('a getter of run may throw, switch, start the greenlet, kill it, or set run', (t) => {
  const error = new Error('of run')
  let act: () => unknown = () => {}
  class Odd extends Greenlet {}
  Object.defineProperty(Odd.prototype, 'run', { get: () => act() })
  const throwing = new Odd()
  act = () => {
    throw error
  }
  t.is(
    t.throws(() => throwing.switch()),
    error,
  )
  t.is(throwing.state, 'unstarted')
  act = () => () => 'better'
  t.is(throwing.switch(), 'better')

  const switching = new Odd()
  const starter = new Greenlet(() => switching.switch())
  act = () => main.switch('in the getter') as () => unknown
  t.is(starter.switch(), 'in the getter')
  t.is(
    starter.switch(() => 'late'),
    'late',
  )

  const starting = new Odd()
  act = () => {
    act = () => () => main.switch('started inside')
    return starting.switch()
  }
  t.is(starting.switch('goes to the switch inside'), 'goes to the switch inside')
  t.true(starting.dead)

  const killing = new Odd()
  act = () => {
    killing.kill()
    return () => 'never'
  }
  t.is(killing.switch('up'), 'up')
  t.true(killing.dead)
})

test('run may set the parent of its own greenlet, but not its run', (t) => {
  const log: unknown[] = []
  const newParent = new Greenlet((x) => log.push(x))
  const g: Greenlet = new Greenlet(() => {
    t.throws(() => (g.run = () => {}), { code: 'ERR_GREENLET_STARTED' })
    g.parent = newParent
    return 'result'
  })
  g.switch()
  t.deepEqual(log, ['result'])
})

test('subclasses without super() and constructors called for other classes do no harm', (t) => {
  function Lazy(): void {}
  Object.setPrototypeOf(Lazy.prototype, Greenlet.prototype)
  const fake = Reflect.construct(Lazy, []) as Greenlet
  t.true(fake instanceof Greenlet)
  t.throws(() => fake.switch(), { instanceOf: TypeError })
  t.throws(() => new Greenlet(() => {}, { parent: fake }), { code: 'ERR_GREENLET_INVALID_ARG' })
  // oxlint-disable-next-line new-cap -- this is what the test is about
  t.throws(() => (Greenlet as unknown as () => void)(), { instanceOf: TypeError })

  // These are greenlets, but they do not inherit `run`.
  const list = Reflect.construct(Greenlet, [() => {}], Array) as Greenlet
  t.throws(() => Greenlet.prototype.switch.call(list), { code: 'ERR_GREENLET_NO_RUN' })
  Object.assign(list, { run: (x: number) => [x, Greenlet.current === list] })
  t.deepEqual(Greenlet.prototype.switch.call(list, 21), [21, true])
  const odd = new Proxy(class {}, {
    get() {
      throw new Error('of the new target')
    },
  })
  t.throws(() => Reflect.construct(Greenlet, [], odd) as unknown, { message: 'of the new target' })
})

test('a subclass may override everything, and the package does not call the overrides', (t) => {
  class Liar extends Greenlet {
    override get dead(): boolean {
      return true
    }
    override get name(): string {
      throw new Error('no name')
    }
    override get state(): never {
      throw new Error('no state')
    }
  }
  const g: Liar = new Liar(() => {
    for (;;) {
      try {
        main.switch()
      } catch {
        if (refusals-- === 0) return
      }
    }
  })
  let refusals = 1
  g.switch()
  t.throws(() => g.kill(), { code: 'ERR_GREENLET_KILL_REFUSED' })
  t.throws(() => (g.run = () => {}), { code: 'ERR_GREENLET_STARTED' })
  g.kill()
  t.false(Greenlet.all().includes(g))
})

test('greenlets may be frozen, proxied, or without a prototype', (t) => {
  const frozen = Object.freeze(new Greenlet(() => main.switch('up')))
  t.is(frozen.switch(), 'up')
  frozen.kill()
  t.true(frozen.dead)

  const proxied = new Proxy(new Greenlet(() => {}), {})
  t.throws(() => proxied.switch(), { instanceOf: TypeError })
  t.throws(() => new Greenlet(() => {}, { parent: proxied }), { code: 'ERR_GREENLET_INVALID_ARG' })

  const bare = Object.setPrototypeOf(new Greenlet(), null) as Greenlet
  bare.run = () => 'ran'
  t.is(Greenlet.prototype.switch.call(bare), 'ran')
  t.regex(Greenlet.prototype.toString.call(bare), /^<Greenlet 'greenlet-\d+' dead>$/)
})

test('sleep() does not convert its arguments', async (t) => {
  const tricks = [
    { [Symbol.toPrimitive]: () => t.fail() },
    { valueOf: () => t.fail() },
    Object(5),
    5n,
    [5],
    new Date(),
    revoked(),
  ]
  await spawn(() => {
    for (const trick of tricks) t.throws(() => sleep(trick as never), { code: 'ERR_GREENLET_INVALID_ARG' })
    const signal = Object.create(AbortSignal.prototype) as AbortSignal
    t.throws(() => sleep(1, { signal }), { instanceOf: TypeError })
    t.throws(() => sleep(1, revoked()), { code: 'ERR_GREENLET_INVALID_ARG' })
    t.is(sleep(1) as unknown, undefined)
  })
})

test('thenables with any behaviour do no harm', async (t) => {
  const error = new Error('of then')
  await spawn(() => {
    const thrower = {
      // oxlint-disable-next-line no-thenable
      get then(): never {
        throw error
      },
    }
    t.is(
      t.throws(() => wait(thrower)),
      error,
    )
    t.throws(() => wait(revoked() as unknown), { message: /revoked/ })

    class Odd extends Promise<unknown> {
      static override get [Symbol.species](): never {
        throw error
      }
    }
    t.is(
      t.throws(() => wait(new Odd(() => {}))),
      error,
    )
    // oxlint-disable-next-line no-thenable
    const late = { then: (resolve: (value: string) => void) => new Greenlet(() => resolve('from a greenlet')).switch() }
    t.is(wait(late as PromiseLike<string>), 'from a greenlet')
    // oxlint-disable-next-line no-thenable
    const killer = { then: () => waiter.kill() }
    const waiter: SpawnedGreenlet<unknown> = spawn(() => wait(killer as unknown as PromiseLike<unknown>))
    t.throws(() => waiter.join(), { code: 'ERR_GREENLET_KILLED' })
  })
})

test('the result of a spawned greenlet may have a then() that throws or switches', async (t) => {
  let act: () => unknown
  const value = {
    // oxlint-disable-next-line no-thenable
    get then() {
      return act()
    },
  }
  const error = new Error('of then')
  act = () => {
    throw error
  }
  t.is(await t.throwsAsync(async () => await spawn(() => value)), error)

  const other = new Greenlet((back: Greenlet) => {
    for (;;) back = back.switch<Greenlet>()
  })
  act = () => other.switch(Greenlet.current)
  t.is(await spawn(() => value), value as never)
  other.kill()
})

test('a trace function that is a revoked Proxy is unset at the first switch', (t) => {
  settrace(revoked())
  t.throws(() => new Greenlet(() => {}).switch(), { message: /revoked/ })
})

test('many arguments arrive, or throw a RangeError', (t) => {
  const count = (...args: unknown[]): number => args.length
  t.is(new Greenlet(count).switch(...Array(30_000)), 30_000)
  const g = new Greenlet(() => (main.switch() as unknown[]).length)
  g.switch()
  t.is(g.switch(...Array(60_000)), 60_000)
  for (const many of [100_000, 120_000, 124_000, 130_000, 1_000_000]) {
    try {
      t.is(new Greenlet(count).switch(...Array(many)), many)
    } catch (error) {
      t.true(error instanceof RangeError, `${many}: ${error}`)
    }
  }
})

test('chains of 100,000 parents work', (t) => {
  const chain = (): [Greenlet, Greenlet] => {
    const first = new Greenlet((x) => x)
    let last = first
    for (let i = 1; i < 100_000; i++) last = new Greenlet((x) => x, { parent: last })
    return [first, last]
  }
  const [first, last] = chain()
  t.throws(() => (first.parent = last), { code: 'ERR_GREENLET_PARENT_CYCLE' })
  const error = new Error('down the chain')
  t.is(
    t.throws(() => last.throw(error)),
    error,
  )
  t.true(first.dead && last.dead)
  t.is(last.switch('through the dead'), 'through the dead')

  // Each one starts with the result of the one before.
  const [second] = chain().toReversed()
  t.is(second!.switch(7), 7)
})

// Besides main, the greenlet that could not start is still in all().
test('greenlets start each other until the limit is reached', async (t) => {
  const { stdout } = await runProgram(`
    configure({ maxGreenlets: 2000 })
    let depth = 0
    const nest = () => {
      depth++
      new Greenlet(nest).switch()
    }
    try { nest() } catch (error) { console.log(error.code, depth, Greenlet.all().length) }`)
  t.is(stdout, LANE === 'fast' ? 'ERR_GREENLET_LIMIT 2001 2\n' : 'ERR_GREENLET_NO_SLOT 1025 2\n')
})

// Node.js' own setImmediate() with arguments does not survive this, so wait() does not either.
test('greenlets work without the iterators of Array, Set and Map', async (t) => {
  const { stdout, stderr } = await runProgram(`
    const { writeSync } = await import('node:fs')
    const print = (what) => writeSync(1, JSON.stringify(what) + '\\n')
    for (const kind of [Array, Set, Map]) delete kind.prototype[Symbol.iterator]
    const g = new Greenlet((x) => {
      try { main.switch(x + 1) } catch (error) { return error.message }
    })
    print([g.switch(1), g.throw(new Error('in')), g.dead])
    const dies = new Greenlet(() => {}, { parent: new Greenlet((x) => x.name) })
    print(dies.throw(new GreenletExit()))
    const left = new Greenlet(() => main.switch())
    left.switch()
    await undefined
    print(Greenlet.all().length)
    left.kill()
    print(left.dead)`)
  t.is(stdout, '[2,"in",true]\n"GreenletExit"\n2\ntrue\n', stderr)
})
