// `blocking()` and `bind()`: functions that may wait wherever they are called.

import { AsyncLocalStorage } from 'node:async_hooks'
import { EventEmitter } from 'node:events'
import test from 'ava'
import { bind, blocking, Greenlet, GreenletError, GreenletExit, sleep, spawn, wait } from '../js/index.ts'
import { printed, runProgram } from './helpers/program.ts'
import { later, pending, turn } from './helpers/promises.ts'

test('a blocking function returns a plain promise of the result, wherever it is called', async (t) => {
  const sum = blocking((a: number, b: number) => wait(later(a)) + b)
  const promise = sum(1, 2)
  t.is(promise.constructor, Promise)
  t.is(Object.getPrototypeOf(promise), Promise.prototype)
  t.false(promise instanceof Greenlet)
  t.is(await promise, 3)
  t.is(await Promise.resolve().then(() => sum(3, 4)), 7)
  t.is(await spawn(() => wait(sum(5, 6))), 11)
  t.is(await new Promise((resolve) => setTimeout(() => resolve(sum(7, 8)), 1)), 15)
  t.is(await blocking(async () => later('async'))(), 'async')
})

test('a blocking function starts at once on main, and soon in a greenlet, which goes on', async (t) => {
  const log: string[] = []
  const job = blocking((from: string) => {
    log.push(`started by ${from}`)
    t.is(Greenlet.current.parent, Greenlet.main)
    wait(later(0))
    log.push(`ended for ${from}`)
  })
  const first = job('main')
  log.push('main goes on')
  await first
  await spawn(() => {
    const second = job('greenlet')
    log.push('greenlet goes on')
    wait(second)
  })
  t.deepEqual(log, [
    'started by main',
    'main goes on',
    'ended for main',
    'greenlet goes on',
    'started by greenlet',
    'ended for greenlet',
  ])
})

test('a blocking function keeps this, the name and the length', async (t) => {
  class Orders {
    readonly price = 3
    total(count: number, ...more: number[]): number {
      return wait(later(this.price)) * (count + more.length)
    }
  }
  const { total } = Orders.prototype
  const blocked = blocking(total)
  t.deepEqual([blocked.name, blocked.length], ['total', 1])
  t.is(await blocked.call(new Orders(), 2, 1, 1), 12)
  const named = blocking(function job(this: unknown) {
    return [this, Greenlet.current.name]
  })
  t.deepEqual(await named.call('x'), ['x', 'job'])
  t.deepEqual(await named.call(undefined), [undefined, 'job'])
})

test('a blocking function inherits the async context of its caller', async (t) => {
  const storage = new AsyncLocalStorage<number>()
  const read = blocking(() => [storage.getStore(), wait(later(storage.getStore()))])
  const all = await Promise.all([1, 2, 3].map((n) => storage.run(n, read)))
  t.deepEqual(all, [
    [1, 1],
    [2, 2],
    [3, 3],
  ])
})

test('the promise of a blocking function is rejected with any error, and with ERR_GREENLET_KILLED', async (t) => {
  const error = new Error('at once')
  t.is(
    await t.throwsAsync(
      blocking(() => {
        throw error
      })(),
    ),
    error,
  )
  await t.throwsAsync(
    blocking(() => {
      wait(Promise.reject(error))
    })(),
    { message: 'at once' },
  )
  let g!: Greenlet
  const promise = blocking(() => {
    g = Greenlet.current
    sleep(60_000)
  })()
  g.kill()
  await t.throwsAsync(promise, { instanceOf: GreenletError, code: 'ERR_GREENLET_KILLED' })
  await t.throwsAsync(
    blocking(() => {
      throw new GreenletExit()
    })(),
    { code: 'ERR_GREENLET_KILLED' },
  )
})

test('many calls of a blocking function run at once, each in a greenlet of its own', async (t) => {
  const names = new Set<Greenlet>()
  const job = blocking((i: number) => {
    names.add(Greenlet.current)
    return wait(later(i))
  })
  const all = await Promise.all(Array.from({ length: 100 }, (_, i) => job(i)))
  t.deepEqual(
    all,
    all.map((_, i) => i),
  )
  t.is(names.size, 100)
})

test('a blocking function that cannot start rejects', async (t) => {
  const ending = await runProgram(`
    configure({ maxGreenlets: 1 })
    const job = greenlets.blocking(() => sleep(5))
    const both = await Promise.allSettled([job(), job()])
    console.log(both.map(({ status, reason }) => status + ' ' + reason?.code).join(', '))`)
  t.deepEqual(ending, printed('fulfilled undefined, rejected ERR_GREENLET_LIMIT\n'))
})

test('an error that another greenlet sends to main does not come out of a blocking function', async (t) => {
  const { code, stdout, stderr } = await runProgram(`
    process.on('uncaughtException', (error) => console.log('uncaught', error.message))
    const job = greenlets.blocking(() => main.throw(new Error('for main')))
    const promise = job()
    console.log('returned', promise instanceof Promise)
    setTimeout(() => console.log('end'), 5)`)
  t.deepEqual([code, stdout, stderr], [0, 'returned true\nuncaught for main\nend\n', ''])
})

test('a bound function gives its result or its error to the caller, as long as it does not wait', async (t) => {
  const error = new Error('at once')
  const fail = bind(() => {
    throw error
  })
  const sum = bind((a: number, b: number) => a + b)
  const check = (): void => {
    t.is(sum(1, 2), 3)
    t.is(t.throws(fail), error)
  }
  check()
  await spawn(check)
  await spawn(() => void wait(later(check()))) // after a wait too
})

test('the caller of a bound function goes on at its first wait, on main and in a greenlet', async (t) => {
  for (const isOnMain of [true, false]) {
    const log: unknown[] = []
    const { promise, resolve } = pending<string>()
    const done = pending()
    const fn = bind(() => {
      t.not(Greenlet.current, Greenlet.main)
      log.push('starts')
      log.push(wait(promise))
      t.is(Greenlet.current.parent, Greenlet.main)
      done.resolve(undefined)
      return 'dropped'
    })
    const caller = (): void => void log.push(fn(), 'caller goes on')
    if (isOnMain) caller()
    else await spawn(caller)
    t.deepEqual(log, ['starts', undefined, 'caller goes on'])
    resolve('value')
    await done.promise
    t.deepEqual(log, ['starts', undefined, 'caller goes on', 'value'])
  }
})

test('a bound function keeps this, the name, the length, and the context in which bind() was called', async (t) => {
  const storage = new AsyncLocalStorage<string>()
  const log: unknown[] = []
  const jobs = new EventEmitter()
  const listener = storage.run('bound', () =>
    bind(function job(this: unknown, id: number) {
      log.push(this === jobs, id, storage.getStore(), wait(later(storage.getStore())), Greenlet.current.name)
      jobs.emit('done')
    }),
  )
  t.deepEqual([listener.name, listener.length], ['job', 1])
  jobs.on('job', listener)
  const done = new Promise((resolve) => jobs.once('done', resolve))
  t.true(storage.run('emitter', () => jobs.emit('job', 7)))
  await done
  t.deepEqual(log, [true, 7, 'bound', 'bound', 'job'])
})

test('two calls of a bound function do not see what the other does to the context', async (t) => {
  const storage = new AsyncLocalStorage<number>()
  const seen: unknown[] = []
  const job = bind((n: number, done: () => void) => {
    storage.enterWith(n)
    wait(later(0))
    seen.push(storage.getStore())
    done()
  })
  await Promise.all([1, 2].map((n) => new Promise<void>((resolve) => void job(n, resolve))))
  t.deepEqual(seen, [1, 2])
})

test('an error of a bound function after a wait is an uncaught exception, and an exit is none', async (t) => {
  const { code, stdout, stderr } = await runProgram(`
    const { bind } = greenlets
    process.on('uncaughtException', (error) => console.log('uncaught', error.message))
    let g
    bind(() => { g = Greenlet.current; sleep(60_000) })()
    g.kill()
    console.log(g.dead, bind(() => { throw new GreenletExit() })())
    bind(() => { sleep(1); throw new GreenletExit() })()
    const fail = bind(() => { sleep(5); throw new Error('late') })
    spawn(() => { fail(); console.log('caller goes on') })
    setImmediate(fail)`)
  t.deepEqual([code, stdout, stderr], [0, 'true undefined\ncaller goes on\nuncaught late\nuncaught late\n', ''])
})

test('a killed caller of a bound function does not take it along', async (t) => {
  const { promise, resolve } = pending<string>()
  const done = pending<string>()
  const job = bind(() => done.resolve(wait(promise)))
  const caller = spawn(() => {
    job()
    sleep(60_000)
  })
  await turn()
  caller.kill()
  resolve('value')
  t.is(await done.promise, 'value')
  await t.throwsAsync(caller, { code: 'ERR_GREENLET_KILLED' })
})

test('a bound function that cannot start throws', async (t) => {
  const ending = await runProgram(`
    configure({ maxGreenlets: 1 })
    const job = greenlets.bind(() => sleep(5))
    job()
    try { job() } catch (error) { console.log(error.code, Greenlet.all().length) }`)
  t.deepEqual(ending, printed('ERR_GREENLET_LIMIT 2\n'))
})

test('blocking() and bind() take a function', (t) => {
  const expected = { instanceOf: TypeError, code: 'ERR_GREENLET_INVALID_ARG' } as const
  t.throws(() => blocking(7 as never), { ...expected, message: /blocking\(\) takes a function, not the number 7/ })
  t.throws(() => bind({} as never), { ...expected, message: /bind\(\) takes a function, not an instance of Object/ })
})

test('the stack of a blocking or bound function has no frames of the package', (t) => {
  function park(): void {
    Greenlet.main.switch()
  }
  const found: Greenlet[] = []
  const run = function job(this: unknown): void {
    found.push(Greenlet.current)
    park()
  }
  void blocking(run)
    .call('this')
    .catch(() => {})
  bind(run)()
  for (const g of found) {
    t.deepEqual(
      g.gr_stack.map(({ functionName }) => functionName),
      ['park', 'job'],
    )
    g.kill()
  }
})
