import { AsyncLocalStorage } from 'node:async_hooks'
import test from 'ava'
import { Greenlet, GreenletError, GreenletExit, sleep, spawn, wait } from '../js/index.ts'
import { runProgram } from './helpers/program.ts'

const { main } = Greenlet

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function later<T>(value: T, ms = 5): Promise<T> {
  return new Promise((resolve) => setTimeout(resolve, ms, value))
}

/** A promise that never settles, unless told to. */
function pending<T = unknown>(): {
  promise: Promise<T>
  resolve: (value: T) => void
  reject: (error: unknown) => void
} {
  let settle: Pick<ReturnType<typeof pending<T>>, 'resolve' | 'reject'>
  const promise = new Promise<T>((resolve, reject) => (settle = { resolve, reject }))
  return { promise, ...settle! }
}

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

test('what is not a promise comes back at once', async (t) => {
  const g = spawn(() => [wait(1), wait(undefined), wait(null), wait('x'), wait(turn)])
  t.deepEqual(await g, [1, undefined, null, 'x', turn])
})

/** An object that is no promise but has `then`. */
function thenable<T>(then: (resolve: (value: T | PromiseLike<T>) => void) => void): PromiseLike<T> {
  // oxlint-disable-next-line no-thenable -- the name says it
  return { then } as PromiseLike<T>
}

test('any thenable will do, also one that calls back at once, twice or from elsewhere', async (t) => {
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
  await later(0, 50)
  const caller = new Greenlet(() => {
    for (const call of calls) call('from a greenlet')
    return 'not left'
  })
  t.is(caller.switch(), 'not left')
  t.deepEqual(await g, ['at once', 'first', 'nested', 'from a greenlet', 'no'])
})

test('a hundred greenlets wait at the same time, each for its own', async (t) => {
  const started = performance.now()
  const all = Array.from({ length: 100 }, (_, i) => spawn(() => wait(later(i, 50)) + wait(later(i, 50))))
  t.deepEqual(
    await Promise.all(all),
    all.map((_, i) => 2 * i),
  )
  t.true(performance.now() - started < 3000)
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

test('a greenlet waits for another', async (t) => {
  const error = new Error('inner failed')
  const g = spawn(() => {
    const failing = spawn(() => {
      throw error
    })
    return [wait(spawn((x: number) => x + 1, 1)), t.throws(() => wait(failing))]
  })
  t.deepEqual(await g, [2, error])
})

test('main goes on where it switched to a greenlet that waits', async (t) => {
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

test('a greenlet that waits cannot be switched to, and nothing is lost', async (t) => {
  const { promise, resolve } = pending<string>()
  const g = spawn(() => wait(promise))
  await turn()
  const expected = {
    instanceOf: GreenletError,
    code: 'ERR_GREENLET_WAITING',
    message: /'greenlet-\d+' cannot be switched to: .* use throw\(\) or kill\(\)/,
  }
  t.throws(() => g.switch('early'), expected)
  t.throws(() => g.switch(1, 2), expected)
  const dead = new Greenlet(() => {})
  dead.kill()
  dead.parent = g
  t.throws(() => dead.switch('early'), expected)
  t.throws(() => dead.throw(), expected)
  t.regex(String(g), / suspended active started waiting>$/)
  resolve('in time')
  t.is(await g, 'in time')
})

test('throw() interrupts a wait, and the promise is ignored from then on', async (t) => {
  const { promise, reject } = pending()
  const error = new Error('interrupted')
  const log: unknown[] = []
  const g = spawn(() => {
    try {
      wait(promise)
    } catch (caught) {
      log.push(caught)
    }
    return wait(later('second wait'))
  })
  await turn()
  g.throw(error)
  reject(new Error('nobody asks'))
  t.is(await g, 'second wait')
  t.deepEqual(log, [error])
})

test('kill() interrupts a wait, and finally blocks run', async (t) => {
  const log: string[] = []
  const g = spawn(() => {
    try {
      wait(pending().promise)
    } finally {
      log.push('finally')
    }
  })
  await turn()
  g.kill()
  t.deepEqual(log, ['finally'])
  t.true(g.dead)
  t.true(((await g) as unknown) instanceof GreenletExit)
})

test('a greenlet that waits while it is killed is still alive for kill(), and ends later', async (t) => {
  const g = spawn(() => {
    try {
      wait(pending().promise)
    } catch {
      return wait(later('cleaned up'))
    }
    return undefined
  })
  await turn()
  t.throws(() => g.kill(), { code: 'ERR_GREENLET_KILL_REFUSED' })
  t.is(await g, 'cleaned up')
})

test('the result of a child that dies during a wait is dropped, its error is thrown there', async (t) => {
  const error = new Error('from the child')
  const { promise, resolve } = pending<string>()
  const g = spawn(() => {
    const first = wait(promise)
    try {
      wait(pending().promise)
    } catch (caught) {
      return [first, caught]
    }
    return undefined
  })
  await turn()
  const child = new Greenlet(() => 'dropped', { parent: g })
  t.is(child.switch(), undefined)
  t.true(child.dead)
  t.is(g.state, 'suspended')
  resolve('first')
  await turn()
  const failing = new Greenlet(
    () => {
      throw error
    },
    { parent: g },
  )
  failing.switch()
  t.deepEqual(await g, ['first', error])
})

test('a greenlet under another waits, and the result goes up when it ends', async (t) => {
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
  const napper = spawn(function napping() {
    sleep(10_000)
  })
  await turn()
  t.deepEqual(
    g.gr_stack.map((frame) => frame.functionName),
    ['fetchIt', 'handler'],
  )
  t.deepEqual(
    napper.gr_stack.map((frame) => frame.functionName),
    ['napping'],
  )
  g.kill()
  napper.kill()
})

test('promises in a greenlet settle while it is suspended', async (t) => {
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

test('sleep() blocks the greenlet for a time, and nothing else', async (t) => {
  const log: string[] = []
  const started = performance.now()
  await Promise.all(
    [30, 10, 20].map((ms) =>
      spawn(() => {
        sleep(ms)
        log.push(`${ms}`)
      }),
    ),
  )
  t.deepEqual(log, ['10', '20', '30'])
  t.true(performance.now() - started >= 29)
  t.is(await spawn(() => sleep(0)), undefined)
})

test('sleep() throws the reason of its signal', async (t) => {
  const controller = new AbortController()
  const reason = new Error('enough')
  const log: string[] = []
  const g = spawn(() => {
    try {
      sleep(10_000, { signal: controller.signal })
    } catch (caught) {
      log.push('thrown')
      return caught
    }
    return undefined
  })
  await turn()
  controller.abort(reason)
  log.push('aborter goes on')
  t.is(await g, reason)
  t.deepEqual(log, ['aborter goes on', 'thrown'])
  t.is(await spawn(() => t.throws(() => sleep(1, { signal: controller.signal }))), reason)
})

test('a greenlet may abort the sleep of another', async (t) => {
  const controller = new AbortController()
  const sleeper = spawn(() => t.throws(() => sleep(10_000, { signal: controller.signal })))
  const aborter = spawn(() => {
    sleep(1)
    controller.abort(new Error('by a greenlet'))
    return Greenlet.current.name
  })
  t.regex(await aborter, /^greenlet-/)
  t.is((await sleeper).message, 'by a greenlet')
})

test('an interrupted sleep leaves neither timer nor listener behind', async (t) => {
  const { code, stdout, stderr } = await runProgram(`
    const { signal } = new AbortController()
    const g = spawn(() => sleep(1_000_000, { signal }))
    setTimeout(() => { g.kill(); console.log('killed') }, 20)
  `)
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'killed\n', stderr: '' })
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
