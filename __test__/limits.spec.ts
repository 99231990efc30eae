// The options of wait() and join(): `signal`, `timeout`, `abandoned`; and wrong options, everywhere.

import { getEventListeners } from 'node:events'
import { AsyncLocalStorage } from 'node:async_hooks'
import test from 'ava'
import { configure, Greenlet, GreenletError, sleep, spawn, TimeoutError, wait } from '../js/index.ts'
import { runProgram } from './helpers/program.ts'
import { later, pending, turn } from './helpers/promises.ts'

const never = (): Promise<never> => new Promise(() => {})
const long = 60_000

test('wait() with a timeout throws a TimeoutError that names the greenlet, the time and what it waited for', async (t) => {
  const g = spawn(() => wait(never(), { timeout: 5 }))
  g.name = 'reader'
  const error = await t.throwsAsync(g, { instanceOf: TimeoutError, code: 'ERR_GREENLET_TIMEOUT' })
  t.true(error instanceof GreenletError)
  t.is(error.name, 'TimeoutError')
  t.regex(
    error.message,
    /^greenlet 'reader' waited 5 ms in wait\(\) for an instance of Promise, which is its timeout; catch/,
  )
  t.regex(error.stack!, /\[in greenlet "reader"\]/)
})

test('join() with a timeout names both greenlets, and the other one goes on', async (t) => {
  const { promise, resolve } = pending<string>()
  const other = spawn(() => wait(promise))
  other.name = 'other'
  const g = spawn(() => other.join({ timeout: 5 }))
  await t.throwsAsync(g, { instanceOf: TimeoutError, message: /waited 5 ms in join\(\) for greenlet 'other'/ })
  t.false(other.dead)
  resolve('value')
  t.is(await spawn(() => other.join({ timeout: long })), 'value')
  t.is(await spawn(() => wait(other, { timeout: long })), 'value')
})

test('a wait within its limits returns the value, throws the reason, and leaves no timer and no listener', async (t) => {
  const { signal } = new AbortController()
  const listeners = (): number => getEventListeners(signal, 'abort').length
  const options = { timeout: long, signal }
  t.is(await spawn(() => wait(later('value'), options)), 'value')
  t.is(await spawn(() => wait(7, options)), 7)
  await t.throwsAsync(
    spawn(() => wait(Promise.reject(new RangeError('reason')), options)),
    { instanceOf: RangeError },
  )
  const killed = new Greenlet(() => wait(never(), options))
  killed.switch()
  t.is(listeners(), 1)
  killed.kill()
  t.is(listeners(), 0)
  const { code, stderr } = await runProgram(`
    await spawn(() => { wait(Promise.resolve(1), { timeout: 2 ** 31 - 1 }) })`)
  t.deepEqual({ code, stderr }, { code: 0, stderr: '' })
})

test('a promise that is settled wins over a timeout of 0', async (t) => {
  t.is(await spawn(() => wait(Promise.resolve('value'), { timeout: 0 })), 'value')
  await t.throwsAsync(
    spawn(() => wait(never(), { timeout: 0 })),
    { instanceOf: TimeoutError },
  )
})

test('wait() and join() throw the reason of a signal that is aborted, and the aborter goes on first', async (t) => {
  const other = spawn(() => wait(never()))
  for (const block of [
    (signal: AbortSignal) => wait(never(), { signal }),
    (signal: AbortSignal) => other.join({ signal }),
  ]) {
    const controller = new AbortController()
    const reason = new Error('enough')
    const log: unknown[] = []
    const g = spawn(() => {
      try {
        block(controller.signal)
      } catch (error) {
        log.push(error)
      }
    })
    await turn()
    controller.abort(reason)
    log.push('aborter goes on')
    await g
    t.deepEqual(log, ['aborter goes on', reason])
  }
  other.kill()
})

test('a signal that is aborted already wins, and the promise is handled', async (t) => {
  const signal = AbortSignal.abort('reason')
  const g = spawn(() => {
    const log: unknown[] = []
    for (const promise of [Promise.resolve(1), Promise.reject(new Error('is not reported')), 7]) {
      try {
        log.push(wait(promise, { signal }))
      } catch (error) {
        log.push(error)
      }
    }
    return log
  })
  t.deepEqual(await g, ['reason', 'reason', 'reason'])
  await turn()
})

test('a signal that is aborted while a thenable is asked counts', async (t) => {
  const controller = new AbortController()
  const thenable = {
    // oxlint-disable-next-line no-thenable -- the test needs one
    get then() {
      controller.abort('by the thenable')
      return () => {}
    },
  }
  const g = spawn(() => {
    try {
      return wait(thenable, { signal: controller.signal, timeout: long })
    } catch (error) {
      return error
    }
  })
  t.is(await g, 'by the thenable')
})

test('abandoned() gets what is no promise too, where the signal was aborted before', async (t) => {
  const log: unknown[] = []
  const options = { signal: AbortSignal.abort(new Error('aborted')), abandoned: (value: string) => log.push(value) }
  await t.throwsAsync(
    spawn(() => wait('connection', options)),
    { message: 'aborted' },
  )
  await turn()
  t.deepEqual(log, ['connection'])
})

test('abandoned() gets a value that comes after the wait has ended, on main, in a turn of its own', async (t) => {
  const store = new AsyncLocalStorage<string>()
  const endings: [string, (g: Greenlet, controller: AbortController) => void][] = [
    ['kill', (g) => g.kill()],
    ['throw', (g) => g.throw(new Error('thrown'))],
    ['interrupt', (g) => g.interrupt(new Error('interrupted'))],
    ['signal', (_, controller) => controller.abort(new Error('aborted'))],
    ['timeout', () => {}],
  ]
  for (const [name, end] of endings) {
    const log: unknown[] = []
    const controller = new AbortController()
    const { promise, resolve } = pending<string>()
    const options = {
      signal: controller.signal,
      timeout: name === 'timeout' ? 5 : long,
      abandoned: (value: string) => log.push(value, Greenlet.current === Greenlet.main, store.getStore()),
    }
    const g = store.run('store', () =>
      spawn(() => {
        try {
          wait(promise, options)
        } finally {
          log.push('ended')
        }
      }),
    )
    await turn()
    end(g, controller)
    await t.throwsAsync(g, undefined, name)
    resolve('connection')
    await promise
    t.deepEqual(log, ['ended'], name)
    await turn()
    await turn()
    t.deepEqual(log, ['ended', 'connection', true, 'store'], name)
  }
})

test('abandoned() gets a value that came between the interrupt and its turn', async (t) => {
  const log: unknown[] = []
  const { promise, resolve } = pending<string>()
  const g = spawn(() => wait(promise, { abandoned: (value) => log.push(value) }))
  await turn()
  t.true(g.interrupt(new Error('interrupted')))
  resolve('connection')
  await t.throwsAsync(g, { message: 'interrupted' })
  await turn()
  t.deepEqual(log, ['connection'])
})

test('abandoned() is not called where the wait returned, or the promise is rejected', async (t) => {
  const log: unknown[] = []
  const abandoned = (value: unknown): void => void log.push(value)
  t.is(await spawn(() => wait(later('value'), { abandoned })), 'value')
  await t.throwsAsync(
    spawn(() =>
      wait(
        later(0).then(() => Promise.reject(new Error('no'))),
        { abandoned },
      ),
    ),
  )
  const { promise, reject } = pending()
  const g = spawn(() => wait(promise, { abandoned }))
  await turn()
  g.kill()
  reject(new Error('not reported'))
  await turn()
  await turn()
  t.deepEqual(log, [])
})

test('a thenable is asked once, also with abandoned()', async (t) => {
  let calls = 0
  const log: unknown[] = []
  const { promise, resolve } = pending<string>()
  const query = {
    // oxlint-disable-next-line no-thenable -- the test needs one
    then(...callbacks: Parameters<typeof promise.then>) {
      calls++
      return promise.then(...callbacks)
    },
  }
  const g = spawn(() => wait(query, { timeout: long, abandoned: (value) => log.push(value) }))
  await turn()
  g.kill()
  resolve('rows')
  await turn()
  await turn()
  t.deepEqual([calls, log], [1, ['rows']])
})

test('an error of abandoned() is an uncaught exception', async (t) => {
  const { code, stderr } = await runProgram(`
    const promise = new Promise((resolve) => setTimeout(resolve, 5))
    const g = new Greenlet(() => wait(promise, { abandoned() { throw new RangeError('of abandoned') } }))
    g.switch()
    g.kill()`)
  t.is(code, 1)
  t.regex(stderr, /RangeError: of abandoned/)
})

test('a greenlet cannot wait for itself within limits either', async (t) => {
  const g: Greenlet & PromiseLike<unknown> = spawn(() =>
    t.throws(() => wait(g, { timeout: 1 }), { code: 'ERR_GREENLET_WAIT_ON_SELF' }),
  )
  await g
})

test('waits that time out again and again leave nothing on their promise but the last', async (t) => {
  // Were each to leave its callbacks, each of them would call then().
  const { promise, resolve } = pending<string>()
  let attempts = 0
  const g = spawn(() => {
    for (;;) {
      try {
        return wait(promise, { timeout: 1 })
      } catch {
        if (++attempts === 10) resolve('at last')
      }
    }
  })
  t.is(await g, 'at last')
  t.is(attempts, 10)
})

test('an option that does not exist is refused, with the names of those that do', async (t) => {
  const refused = (call: () => unknown, message: RegExp): void => {
    t.throws(call, { instanceOf: TypeError, code: 'ERR_GREENLET_INVALID_ARG', message })
  }
  const wrong = { singal: undefined } as object
  refused(() => configure({ slot: 8 } as object), /configure\(\) has no option 'slot'; it has slots, maxGreenlets/)
  refused(() => new Greenlet(() => {}, wrong), /a greenlet has no option 'singal'; it has parent, name, context/)
  const other = spawn(() => {})
  await spawn(() => {
    refused(() => wait(later(1), wrong), /wait\(\) has no option 'singal'; it has signal, timeout, abandoned/)
    refused(() => sleep(1, wrong), /sleep\(\) has no option 'singal'; it has signal/)
    refused(
      () => other.join({ abandoned() {} } as object),
      /join\(\) has no option 'abandoned'; it has signal, timeout/,
    )
    refused(() => wait(later(1), 'x' as never), /the options of wait\(\) are an object, not 'x'/)
    refused(() => wait(later(1), null as never), /the options of wait\(\) are an object, not null/)
    refused(() => wait(later(1), { signal: {} as never }), /the signal of wait\(\) must be an AbortSignal/)
    refused(() => wait(later(1), { timeout: '5' as never }), /the timeout of wait\(\) takes milliseconds, not '5'/)
    refused(() => wait(later(1), { abandoned: 5 as never }), /abandoned.* takes a function, not the number 5/)
    refused(() => [later(1)].map(wait as never), /promises\.map\(wait\) passes an index/)
    t.throws(() => wait(later(1), { timeout: -1 }), { instanceOf: RangeError, code: 'ERR_GREENLET_INVALID_ARG' })
    t.throws(() => wait(later(1), { timeout: Infinity }), { instanceOf: RangeError })
  })
})
