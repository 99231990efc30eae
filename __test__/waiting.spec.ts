import { AsyncLocalStorage } from 'node:async_hooks'
import test, { type ExecutionContext } from 'ava'
import { Greenlet, GreenletError, sleep, spawn, wait } from '../js/index.ts'
import { collectRounds } from './helpers/collect.ts'
import { printed, runProgram } from './helpers/program.ts'
import { later, pending, turn } from './helpers/promises.ts'

const { main } = Greenlet

test('wait() returns the value of a promise, at any depth', async (t) => {
  const g = spawn(() => [1, 2, 3].map((x) => wait(later(x * 10))))
  t.deepEqual(await g, [10, 20, 30])
})

test('wait() throws the reason of a promise, the same object', async (t) => {
  const error = new Error('rejected')
  const g = spawn(() => {
    try {
      wait(Promise.reject(error))
    } catch (caught) {
      return caught
    }
    return undefined
  })
  t.is(await g, error)
})

test('wait() works in getters, comparators and callbacks of other functions', async (t) => {
  const g = spawn(() => {
    const object = {
      get later() {
        return wait(later('got'))
      },
    }
    const sorted = [3, 1, 2].sort((a, b) => wait(later(a)) - wait(later(b)))
    const parsed: unknown = JSON.parse('[1]', (_, value: unknown) => wait(later(value)))
    return [object.later, sorted, parsed, 'ab'.replace('a', (x) => wait(later(x + x)))]
  })
  t.deepEqual(await g, ['got', [1, 2, 3], [1], 'aab'])
})

test('wait() returns a value that is not a promise at once', async (t) => {
  const g = spawn(() => [wait(1), wait(undefined), wait(null), wait('x'), wait(turn)])
  t.deepEqual(await g, [1, undefined, null, 'x', turn])
})

/** An object that is not a promise but has `then`. */
function thenable<T>(then: (resolve: (value: T | PromiseLike<T>) => void) => void): PromiseLike<T> {
  // oxlint-disable-next-line no-thenable -- the test needs one
  return { then } as PromiseLike<T>
}

test('wait() takes any thenable, also one that calls back at once, twice or from another greenlet', async (t) => {
  const calls: ((value: string) => void)[] = []
  const g = spawn(() => [
    wait(thenable((resolve) => resolve('at once'))),
    wait(
      thenable((resolve) => {
        resolve('first')
        resolve('second')
      }),
    ),
    wait(thenable((resolve) => resolve(later('nested')))),
    wait(thenable<string>((resolve) => void calls.push(resolve))),
    t.throws(() =>
      wait(
        thenable(() => {
          throw new Error('no')
        }),
      ),
    ).message,
  ])
  while (calls.length === 0) await turn()
  const caller = new Greenlet(() => {
    for (const call of calls) call('from a greenlet')
    return 'not left'
  })
  t.is(caller.switch(), 'not left')
  t.deepEqual(await g, ['at once', 'first', 'nested', 'from a greenlet', 'no'])
})

test('wait() takes a promise with its own then(), which calls back twice from another greenlet', async (t) => {
  const { promise } = pending<string>()
  let call!: (value: string) => void
  // oxlint-disable-next-line no-thenable -- the test needs one
  promise.then = ((resolve: (value: string) => void) => void (call = resolve)) as never
  const g = spawn(() => [wait(promise), wait(later('second wait'))])
  await turn()
  const caller = new Greenlet(() => {
    call('first')
    call('second')
    return 'not left'
  })
  t.is(caller.switch(), 'not left')
  t.deepEqual(await g, ['first', 'second wait'])
})

test('a hundred greenlets wait at the same time, each for its own promise', async (t) => {
  let begun = 0
  let tellAll: (value: number) => void
  const allHaveBegun = new Promise<number>((resolve) => (tellAll = resolve))
  const all = Array.from({ length: 100 }, (_, i) =>
    spawn(() => {
      if (++begun === 100) tellAll(1000)
      return wait(allHaveBegun) + wait(later(i, 50))
    }),
  )
  t.deepEqual(
    await Promise.all(all),
    all.map((_, i) => 1000 + i),
  )
})

test('main cannot wait or sleep', (t) => {
  const expected = { instanceOf: GreenletError, code: 'ERR_GREENLET_WAIT_ON_MAIN', message: /inside a greenlet/ }
  t.throws(() => wait(later(1)), expected)
  t.throws(() => wait(1), expected)
  t.throws(() => sleep(1), expected)
})

test('a greenlet cannot wait for itself', async (t) => {
  const g: Greenlet & PromiseLike<unknown> = spawn(() =>
    t.throws(() => wait(g), { instanceOf: GreenletError, code: 'ERR_GREENLET_WAIT_ON_SELF' }),
  )
  await g
})

test('a greenlet that was woken starts another one, and each is woken by its own promise', async (t) => {
  const self = { instanceOf: GreenletError, code: 'ERR_GREENLET_WAIT_ON_SELF' } as const
  const outer = spawn((): number => {
    t.is(wait(Promise.resolve(1)), 1)
    const inner = spawn((): number => {
      t.is(wait(Promise.resolve(2)), 2)
      t.throws(() => wait(inner), self)
      return wait(Promise.resolve(3))
    })
    t.is(wait(inner), 3)
    t.throws(() => wait(outer), self)
    return wait(Promise.resolve(4))
  })
  t.is(await outer, 4)
})

test('a greenlet can wait for another one', async (t) => {
  const error = new Error('inner failed')
  const g = spawn(() => {
    const failing = spawn(() => {
      throw error
    })
    return [wait(spawn((x: number) => x + 1, 1)), t.throws(() => wait(failing))]
  })
  t.deepEqual(await g, [2, error])
})

test('main continues after its switch to a greenlet that waits', async (t) => {
  const log: unknown[] = []
  const g = new Greenlet(() => {
    log.push(wait(later('waited')))
    log.push(Greenlet.current === g)
    return 'dropped'
  })
  t.is(g.switch(), undefined)
  t.is(Greenlet.current, main)
  t.is(g.state, 'suspended')
  log.push('main')
  await later(0, 20)
  t.deepEqual(log, ['main', 'waited', true])
  t.true(g.dead)
})

test('a greenlet with another parent waits, and its result goes to that parent', async (t) => {
  const { promise, resolve } = pending<string>()
  const log: unknown[] = []
  const outer = new Greenlet(() => {
    const child = new Greenlet(() => wait(promise))
    log.push(child.switch())
  })
  t.is(outer.switch(), undefined)
  t.deepEqual(log, [])
  resolve('up')
  await turn()
  t.deepEqual(log, ['up'])
  t.true(outer.dead)
})

function fetchIt(): unknown {
  return wait(pending().promise)
}

test('gr_stack shows where a greenlet waits', async (t) => {
  const g = spawn(function handler() {
    return fetchIt()
  })
  const sleeper = spawn(function sleeping() {
    sleep(10_000)
  })
  await turn()
  t.deepEqual(
    g.gr_stack.map((frame) => frame.functionName),
    ['fetchIt', 'handler'],
  )
  t.deepEqual(
    sleeper.gr_stack.map((frame) => frame.functionName),
    ['sleeping'],
  )
  g.kill()
  sleeper.kill()
})

test('promises of a greenlet settle while it is suspended', async (t) => {
  const log: string[] = []
  const g = spawn(() => {
    void Promise.resolve().then(() => log.push('job'))
    process.nextTick(() => log.push('tick'))
    wait(later(1))
    log.push('resumed')
  })
  await g
  t.deepEqual(log, ['tick', 'job', 'resumed'])
})

async function half(x: number): Promise<number> {
  await later(0)
  return x + (await spawn(() => wait(later(x)) * 2))
}

test('async functions and greenlets call each other', async (t) => {
  t.is(await spawn(() => wait(half(1)) + wait(half(10))), 33)
})

test('each greenlet keeps its AsyncLocalStorage while it waits', async (t) => {
  const storage = new AsyncLocalStorage<number>()
  const all = Array.from({ length: 20 }, (_, i) =>
    storage.run(i, () =>
      spawn(() => {
        const seen = [storage.getStore()]
        sleep(20 - i)
        seen.push(storage.getStore())
        wait(later(1, i))
        seen.push(storage.getStore())
        return seen
      }),
    ),
  )
  t.deepEqual(
    await Promise.all(all),
    all.map((_, i) => [i, i, i]),
  )
  t.is(storage.getStore(), undefined)
})

/** Waits in a new greenlet, kills that, and returns references to what must be free then. */
async function killedWaiter(
  t: ExecutionContext,
  block: () => unknown,
): Promise<Readonly<Record<'greenlet' | 'store' | 'local', WeakRef<object>>>> {
  const storage = new AsyncLocalStorage<object>()
  const store = { request: 1 }
  const local = { of: 'the greenlet' }
  const g = storage.run(store, () =>
    spawn(function holder() {
      block()
      return local
    }),
  )
  await turn()
  g.kill()
  await t.throwsAsync(g, { code: 'ERR_GREENLET_KILLED' })
  return { greenlet: new WeakRef(g), store: new WeakRef(store), local: new WeakRef(local) }
}

const never = pending().promise
const neverOfSubclass = new (class extends Promise<unknown> {})(() => undefined)

for (const [how, block] of Object.entries({
  'wait() for a promise': () => wait(never),
  'a second wait()': () => wait(Promise.resolve(1)) === 1 && wait(never),
  'wait() for a subclass of Promise': () => wait(neverOfSubclass),
  'wait() for a thenable': () => wait(thenable(() => undefined)),
  'wait() in a store of its own': () => new AsyncLocalStorage().run({}, () => wait(never)),
  'sleep()': () => sleep(100_000),
})) {
  test.serial(`a killed waiter leaves nothing behind: ${how}`, async (t) => {
    const left = await killedWaiter(t, block)
    await collectRounds(3)
    for (const [what, ref] of Object.entries(left)) t.is(ref.deref(), undefined, what)
  })
}

/** Interrupts a wait, settles its promise later, and returns a reference to the greenlet. */
async function interrupted(t: ExecutionContext): Promise<WeakRef<object>> {
  const { promise, resolve } = pending<object>()
  const g = spawn(() => {
    try {
      wait(promise)
    } catch {
      return wait(later('second'))
    }
    return 'not interrupted'
  })
  await turn()
  g.throw(new Error('interrupted'))
  resolve({})
  t.is(await g, 'second')
  return new WeakRef(g)
}

test.serial('an interrupted waiter can wait again, and is free when it has ended', async (t) => {
  const ref = await interrupted(t)
  await collectRounds(3)
  t.is(ref.deref(), undefined)
})

test.serial('a greenlet does not keep the value that it waited for', async (t) => {
  let ref!: WeakRef<object>
  const g = spawn(() => {
    ;(() => {
      const { promise, resolve } = pending<object>()
      setImmediate(() => resolve({}))
      ref = new WeakRef(wait(promise))
    })()
    Greenlet.main.switch()
  })
  while (ref === undefined) await turn()
  await collectRounds(3)
  t.is(ref.deref(), undefined)
  g.kill()
})

test('a wait that is interrupted while another one begins does not end that one', async (t) => {
  const [inner, outer] = [pending<string>(), pending<string>()]
  let reached = false
  // `then()` makes its promise with this constructor.
  const species = function (executor: ConstructorParameters<typeof Promise>[0]): Promise<unknown> {
    reached = true
    try {
      wait(inner.promise)
    } catch {}
    return new Promise(executor)
  }
  Object.defineProperty(outer.promise, 'constructor', { value: { [Symbol.species]: species } })
  const g = spawn(() => {
    wait(later('first'))
    return wait(outer.promise)
  })
  while (!reached) await turn()
  g.throw(new Error('interrupted'))
  inner.resolve('of the interrupted wait')
  await turn()
  outer.resolve('of its own promise')
  t.is(await g, 'of its own promise')
})

/** A program that prints how many bytes are left for each of the greenlets that `round` has made and killed. */
const left = (round: string): string => `
    const never = new Promise(() => {})
    globalThis.never = never
    const turn = () => new Promise((resolve) => setTimeout(resolve, 5))
    async function killWaiters(count, promise = never) {
      const all = Array.from({ length: count }, () => spawn(() => wait(promise)))
      await turn()
      for (const g of all) g.kill()
      await Promise.allSettled(all)
    }
    async function size() {
      for (let i = 0; i < 6; i++) {
        await turn()
        gc()
      }
      return process.memoryUsage().heapUsed
    }
    for (let i = 0; i < 3; i++) await killWaiters(100)
    const before = await size()
    ${round}
    const bytes = ((await size()) - before) / 10_000`

test('killed waiters leave less than 320 bytes each in their promise: what `then()` makes, and two callbacks', async (t) => {
  const program = `${left('await killWaiters(10_000, globalThis.other = new Promise(() => {}))')}
    console.log(bytes > 100 && bytes < 320 ? 'as it should be' : bytes)`
  t.deepEqual(await runProgram(program, { flags: ['--expose-gc'] }), printed('as it should be\n'))
})

test('killed waiters leave nothing in a promise that another one was killed in before they waited', async (t) => {
  for (const round of ['await killWaiters(10_000)', 'for (let i = 0; i < 100; i++) await killWaiters(100)']) {
    const program = `${left(round)}
      console.log(bytes < 60 ? 'as it should be' : bytes)`
    t.deepEqual(await runProgram(program, { flags: ['--expose-gc'] }), printed('as it should be\n'))
  }
})

test('greenlets wait for a promise that others were killed in', async (t) => {
  for (const settle of ['resolve', 'reject'] as const) {
    const { promise, resolve, reject } = pending<string>()
    const ended: string[] = []
    const wait1 = (name: string) =>
      spawn(() => {
        try {
          ended.push(name)
          return wait(promise)
        } catch (error) {
          if (!(error instanceof Error)) throw error
          return error.message
        } finally {
          ended.push(name)
        }
      })
    const killed = ['a', 'b', 'c'].map(wait1)
    await turn()
    for (const g of killed) g.kill()
    ended.length = 0
    // More than were killed: some callbacks are new.
    const names = ['d', 'e', 'f', 'g', 'h']
    const waiting = names.map(wait1)
    await turn()
    if (settle === 'resolve') resolve('settled')
    else reject(new Error('settled'))
    t.deepEqual(
      await Promise.all(waiting),
      names.map(() => 'settled'),
    )
    t.deepEqual(ended, [...names, ...names])
    t.deepEqual(await wait1('i'), 'settled')
  }
})

test('a promise is waited for once more after it was settled while no greenlet waited for it', async (t) => {
  const { promise, resolve } = pending<string>()
  const killed = [1, 2].map(() => spawn(() => wait(promise)))
  await turn()
  for (const g of killed) g.kill()
  resolve('settled')
  // One greenlet waits before the callbacks are called, the others after that.
  const first = spawn(() => wait(promise))
  t.is(await first, 'settled')
  await turn()
  t.deepEqual(await Promise.all([1, 2, 3].map(() => spawn(() => wait(promise)))), ['settled', 'settled', 'settled'])
})

test('a greenlet that is interrupted again and again waits for the same promise', async (t) => {
  const { promise, resolve } = pending<string>()
  const g = spawn(() => {
    for (let count = 0; ; count++) {
      try {
        return [count, wait(promise)]
      } catch (error) {
        if ((error as Error).message !== 'again') throw error
      }
    }
  })
  await turn()
  for (let i = 0; i < 5; i++) g.throw(new Error('again'))
  resolve('settled')
  t.deepEqual(await g, [5, 'settled'])
})

test('of the greenlets that wait for a promise that one was killed in, the first kills others', async (t) => {
  const { promise, resolve } = pending<string>()
  const before = spawn(() => wait(promise))
  await turn()
  before.kill()
  const first = spawn(() => {
    const value = wait(promise)
    third!.kill()
    return [value, wait(promise)]
  })
  const [second, third, fourth] = [1, 2, 3].map(() => spawn(() => wait(promise)))
  await turn()
  second!.kill()
  resolve('settled')
  t.deepEqual(await first, ['settled', 'settled'])
  const ends = [second, third, fourth].map((g) => g!.then(undefined, (error: unknown) => (error as GreenletError).code))
  t.deepEqual(await Promise.all(ends), ['ERR_GREENLET_KILLED', 'ERR_GREENLET_KILLED', 'settled'])
})
