// `Future` behaves as that of node-fibers 5.

import test from 'ava'
import Fiber from '../../js/fibers/index.ts'
import Future from '../../js/fibers/future.ts'

interface WithFuture {
  future(detach?: boolean): (...args: unknown[]) => Future
}

/** `fn.future()` */
function futureOf(fn: (...args: never[]) => unknown, detach?: boolean): (...args: unknown[]) => Future {
  return (fn as unknown as WithFuture).future(detach)
}

/** Runs `body` in a fiber, and resolves when it has ended. */
function inFiber<T>(body: () => T): Promise<T> {
  return Future.task(body).promise()
}

const later = <T>(value: T): Future<T> => {
  const future = new Future<T>()
  setTimeout(() => future.return(value), 1)
  return future
}

const failing = (message: string): Future => {
  const future = new Future()
  setTimeout(() => future.throw(new Error(message)), 1)
  return future
}

test('return() and throw() resolve once', (t) => {
  const future = new Future()
  t.false(future.isResolved())
  t.throws(() => future.get(), { message: 'Future must resolve before value is ready' })
  t.throws(() => future.throw(undefined), { message: 'Must throw non-empty error' })
  future.return(1)
  t.true(future.isResolved())
  t.is(future.get(), 1)
  t.throws(() => future.return(2), { message: 'Future resolved more than once' })
  t.throws(() => future.throw(new Error('x')), { message: 'Future resolved more than once' })
})

test('wait() suspends a fiber until there is a value, or throws the error', async (t) => {
  t.is(await inFiber(() => later('v').wait()), 'v')
  await t.throwsAsync(
    inFiber(() => failing('boom').wait()),
    { message: 'boom' },
  )
  t.throws(() => later(1).wait(), { message: "Can't wait without a fiber" })
})

test('Future.wait() waits for futures and arrays of them, and throws none of their errors', async (t) => {
  const futures = [later(1), failing('boom'), later(3)] as const
  await inFiber(() => Future.wait(futures[0], [futures[1], futures[2]]))
  t.deepEqual(
    futures.map((future) => future.isResolved()),
    [true, true, true],
  )
  t.is(futures[2].get(), 3)
  t.throws(() => futures[1].get(), { message: 'boom' })
  await t.throwsAsync(
    inFiber(() => Future.wait(5 as never)),
    { message: '5 is not a future' },
  )
  // All are resolved, so it does not suspend.
  Fiber(() => Future.wait(...futures)).run()
})

test('a future that has not begun runs in the fiber that waits for it', async (t) => {
  await inFiber(() => {
    const me = Fiber.current
    const future = Future.task(() => Fiber.current)
    t.is(future.wait(), me)
    const both = [Future.task(() => later(1).wait()), Future.task(() => later(2).wait())] as const
    Future.wait(both)
    t.deepEqual(
      both.map((each) => each.get()),
      [1, 2],
    )
  })
})

test('Future.task() of several functions gives their values, or the last error', async (t) => {
  t.deepEqual(
    await Future.task(
      () => later('a').wait(),
      () => 'b',
    ).promise(),
    ['a', 'b'],
  )
  const task = Future.task(
    () => failing('one').wait(),
    () => 'b',
  )
  await t.throwsAsync(task.promise(), { message: 'one' })
})

test('fn.future() keeps this and the arguments, and describes itself', async (t) => {
  const fn = futureOf(function (this: unknown, ...args: unknown[]) {
    return [this, ...args]
  })
  t.regex(String(fn), /^<<Future function[^]*\.future\(\)>>$/)
  t.deepEqual(await Reflect.apply(fn, 'me', [1, 2]).promise(), ['me', 1, 2])
  t.false(Object.keys(Function.prototype).includes('future'))
})

test('Future.wrap() of a function passes a callback, and keeps what the function returns', async (t) => {
  const add = (a: number, b: number, callback: (error: unknown, sum?: number) => void): string => {
    setTimeout(() => (a < 0 ? callback(new Error('negative')) : callback(null, a + b)), 1)
    return 'handle'
  }
  const wrapped = Future.wrap(add)
  const future = wrapped(1, 2) as Future & { _: unknown }
  t.is(future._, 'handle')
  t.is(await inFiber(() => future.wait()), 3)
  await t.throwsAsync(
    inFiber(() => wrapped(-1, 2).wait()),
    { message: 'negative' },
  )
  const multi = Future.wrap((callback: (...args: unknown[]) => void) => callback(null, 1, 2), true)
  t.deepEqual(multi().get(), [1, 2])
})

test('Future.wrap() of an object adds methods and keeps the others; a function with methods gets them too', (t) => {
  class Base {
    factor = 2
  }
  const object = Object.assign(new Base(), {
    times(this: Base, x: number, callback: (error: unknown, value: number) => void): void {
      callback(null, x * this.factor)
    },
  })
  const wrapped = Future.wrap(object)
  t.is(wrapped['timesFuture']!(4).get(), 8)
  t.is(wrapped.factor, 2)
  t.is(Future.wrap(object, false, 'Later')['timesLater']!(5).get(), 10)
  t.false('timesFuture' in object)
  const request = Object.assign((callback: (error: unknown, x: number) => void) => callback(null, 1), {
    get: (callback: (error: unknown, x: number) => void) => callback(null, 2),
  })
  const both = Future.wrap(request) as (() => Future) & { getFuture: () => Future; get: unknown }
  t.deepEqual([both().get(), both.getFuture().get(), both.get], [1, 2, request.get])
})

test('fromPromise() and promise()', async (t) => {
  t.is(await inFiber(() => Future.fromPromise(Promise.resolve('p')).wait()), 'p')
  await t.throwsAsync(
    inFiber(() => Future.fromPromise(Promise.reject(new Error('no'))).wait()),
    { message: 'no' },
  )
})

test('resolve(), resolveSuccess(), resolver(), proxy() and proxyErrors() pass results on, early and late', (t) => {
  for (const early of [true, false]) {
    const log: unknown[] = []
    const good = new Future()
    const bad = new Future()
    const error = new Error('bad')
    const finish = (): void => {
      good.resolver()(null, 'value')
      bad.resolver()(error)
    }
    if (early) finish()
    for (const future of [good, bad]) {
      future.resolve((...args) => log.push(args))
      future.resolveSuccess((value) => log.push(['success', value]))
      const other = new Future()
      future.resolve(other, (value) => log.push(['value', value]))
      const proxied = new Future()
      future.proxy(proxied)
      const failed = [new Future(), new Future()]
      future.proxyErrors(failed).proxyErrors(new Future())
      if (!early && future === bad) finish()
      log.push([other.isResolved(), proxied.isResolved(), failed.map((each) => each.isResolved())])
    }
    const flat = log.map((entry) => (entry as unknown[]).filter((item) => item !== undefined))
    t.true(flat.some((entry) => entry[0] === 'value' && entry.length === 1))
    t.true(flat.some((entry) => entry[0] === 'success' && entry[1] === 'value'))
    t.true(flat.some((entry) => entry[0] === 'value' && entry[1] === 'value'))
    t.true(flat.some((entry) => entry[0] === error && entry.length === 1))
    t.deepEqual(log.at(-1), [true, true, [true, true]])
  }
})

test('packages can inherit from Future by calling it', (t) => {
  const Make = Future as unknown as (this: unknown) => void
  const own = Object.create(Future.prototype) as Future
  Reflect.apply(Make, own, [])
  t.true(own instanceof Future)
  own.return(1)
  t.is(own.get(), 1)
})

test('an error of a future has the frames of the waiting fiber, then its own', async (t) => {
  const error = new Error('two\nlines')
  const first = String(error.stack).split('\n')
  for (let i = 0; i < 2; i++) {
    await inFiber(function waits() {
      const future = new Future()
      setTimeout(() => future.throw(error), 1)
      try {
        future.wait()
      } catch {
        // It is looked at below.
      }
    })
    const stack = String(error.stack).split('\n')
    const line = stack.indexOf('    - - - - -')
    t.deepEqual(stack.slice(0, 2), ['Error: two', 'lines'])
    t.true(stack.slice(2, line).some((frame) => frame.includes('waits')))
    t.deepEqual(stack.slice(line + 1), first.slice(2))
  }
  const frozen = Object.freeze(new Error('frozen'))
  const future = new Future()
  future.throw(frozen)
  t.is(
    t.throws(() => future.get()),
    frozen,
  )
})

test('an error of a future is thrown itself where its stack, or the text of one, throws', (t) => {
  const error = new Error('own')
  const stack = { get: () => fail('getter'), configurable: true }
  const future = new Future()
  future.throw(Object.defineProperty(error, 'stack', stack))
  t.is(
    t.throws(() => future.get()),
    error,
  )
  const other = new Future()
  const second = new Error('second')
  other.throw(second)
  const { prepareStackTrace } = Error
  Error.prepareStackTrace = () => fail('text')
  let thrown
  try {
    other.get()
  } catch (caught) {
    thrown = caught
  } finally {
    Error.prepareStackTrace = prepareStackTrace!
  }
  t.is(thrown, second)
})

test('resolve() without a function for the value calls back with both, as fibers does', (t) => {
  const seen: unknown[] = []
  const callback = ((error: unknown, value: unknown) => seen.push(error, value)) as never
  for (const nothing of [null, undefined, false] as never[]) {
    const early = new Future()
    early.return(1)
    early.resolve(callback, nothing)
    const late = new Future()
    late.resolve(callback, nothing)
    late.return(2)
  }
  t.deepEqual(seen, [undefined, 1, undefined, 2, undefined, 1, undefined, 2, undefined, 1, undefined, 2])
})

function fail(message: string): never {
  throw new Error(message)
}
