// `spawn.with()`: a spawned greenlet with a name, an async context and a signal.

import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import { getEventListeners } from 'node:events'
import test from 'ava'
import { Greenlet, GreenletError, GreenletExit, settrace, sleep, spawn, wait } from '../js/index.ts'
import { group, Lock, retry } from '../js/tools/index.ts'
import { printed, runProgram } from './helpers/program.ts'
import { later, pending, turn } from './helpers/promises.ts'

const killed = { instanceOf: GreenletError, code: 'ERR_GREENLET_KILLED' } as const

test('spawn.with() passes arguments and gives the result, as spawn()', async (t) => {
  const g = spawn.with({ name: 'sum' }, (a: number, b: number) => wait(later(a)) + b, 1, 2)
  t.is(g.name, 'sum')
  t.is(g.state, 'unstarted')
  t.is(await g, 3)
  function named(): string {
    return Greenlet.current.name
  }
  t.is(await spawn.with({}, named), 'named')
})

test('spawn.with() runs in the context that it is given', async (t) => {
  const storage = new AsyncLocalStorage<string>()
  const context = storage.run('given', () => new AsyncResource('TEST'))
  const read = (): unknown => [storage.getStore(), wait(later(storage.getStore()))]
  const all = storage.run('caller', () => [
    spawn.with({}, read),
    spawn.with({ context }, read),
    spawn.with({ context: null }, read),
  ])
  t.deepEqual(await Promise.all(all), [
    ['caller', 'caller'],
    ['given', 'given'],
    [undefined, undefined],
  ])
})

test('an abort kills the greenlet in the next turn, and the aborter goes on', async (t) => {
  const controller = new AbortController()
  const log: string[] = []
  const g = spawn.with({ signal: controller.signal }, () => {
    try {
      sleep(60_000)
    } catch (error) {
      log.push(String(error instanceof GreenletExit))
      throw error
    }
  })
  await turn()
  controller.abort()
  log.push('aborted')
  t.false(g.dead)
  await t.throwsAsync(g, killed)
  t.deepEqual(log, ['aborted', 'true'])
})

test('a wait with the same signal does not end before the kill, which would interrupt the cleanup', async (t) => {
  const controller = new AbortController()
  const { signal } = controller
  const log: unknown[] = []
  const g = spawn.with({ signal }, () => {
    try {
      wait(new Promise(() => {}), { signal })
    } catch (error) {
      log.push(error instanceof GreenletExit)
      sleep(5)
      log.push('cleaned up')
      throw error
    }
  })
  await turn()
  controller.abort()
  await t.throwsAsync(g, killed)
  t.deepEqual(log, [true, 'cleaned up'])
})

test('an abort does not interrupt the cleanup of a greenlet that was killed before', async (t) => {
  const controller = new AbortController()
  const log: unknown[] = []
  const g = spawn.with({ signal: controller.signal }, () => {
    try {
      sleep(60_000)
    } finally {
      sleep(5)
      log.push('cleaned up')
    }
  })
  await turn()
  g.kill()
  controller.abort()
  await t.throwsAsync(g, killed)
  t.deepEqual(log, ['cleaned up'])
})

test('an abort kills a greenlet that switched away by hand, and one that runs', async (t) => {
  const first = new AbortController()
  const suspended = spawn.with({ signal: first.signal }, () => Greenlet.main.switch())
  await turn()
  first.abort()
  await t.throwsAsync(suspended, killed)

  const own = new AbortController()
  const log: string[] = []
  const running = spawn.with({ signal: own.signal }, () => {
    own.abort()
    log.push('goes on')
    sleep(60_000)
    log.push('not reached')
  })
  await t.throwsAsync(running, killed)
  t.deepEqual(log, ['goes on'])
})

/** Ways to wait after an abort of the signal of the greenlet itself. */
const waits: Record<string, (signal: AbortSignal) => void> = {
  'in sleep() with that signal': (signal) => sleep(60_000, { signal }),
  'in wait() with that signal': (signal) => wait(new Promise(() => {}), { signal }),
  'in wait() with that signal, of no promise': (signal) => wait(7, { signal }),
  'for what that signal ends': (signal) => {
    wait(Promise.reject(signal.reason as Error))
  },
  'without that signal': () => sleep(60_000),
  'for a lock, with that signal': (signal) => new Lock().acquire({ signal }),
  'in retry(), with that signal': (signal) => retry(() => sleep(60_000), { signal }),
}

for (const [what, waitWith] of Object.entries(waits)) {
  test(`a greenlet that aborts its own signal and waits ${what} is killed once, and its cleanup may wait`, async (t) => {
    const controller = new AbortController()
    const { signal } = controller
    const log: unknown[] = []
    const g = spawn.with({ signal }, () => {
      sleep(1)
      try {
        controller.abort(new RangeError('enough'))
        log.push(g.ending)
        waitWith(signal)
        log.push('not reached')
      } catch (error) {
        log.push(error instanceof GreenletExit, (error as Error).cause === signal.reason, g.ending)
        sleep(5)
        log.push('cleaned up')
        throw error
      }
    })
    await t.throwsAsync(g, killed)
    t.deepEqual(log, [true, true, true, true, 'cleaned up'])
    t.false(g.ending)
  })
}

test('a greenlet that aborts its own signal and starts over gets the exit again; one that does not wait returns', async (t) => {
  const controller = new AbortController()
  let exits = 0
  const again = spawn.with({ signal: controller.signal }, () => {
    sleep(1)
    controller.abort()
    for (;;) {
      try {
        sleep(60_000)
      } catch (error) {
        if (exits++ > 3) throw error
      }
    }
  })
  await t.throwsAsync(again, killed)
  t.is(exits, 5)

  const other = new AbortController()
  const returns = spawn.with({ signal: other.signal }, () => {
    other.abort()
    return 'value'
  })
  t.is(await returns, 'value')
  await turn()
  t.deepEqual([returns.ending, returns.dead], [false, true])
})

test('a signal that a greenlet aborts in its cleanup, or that ends by its own kill(), does not kill it again', async (t) => {
  const log: string[] = []
  const first = new AbortController()
  const cleaning = spawn.with({ signal: first.signal }, () => {
    try {
      sleep(60_000)
    } finally {
      first.abort()
      sleep(5)
      log.push('cleaned up')
    }
  })
  await turn()
  cleaning.kill()
  await t.throwsAsync(cleaning, killed)

  const second = new AbortController()
  const ownKill = spawn.with({ signal: second.signal }, () => {
    try {
      second.abort()
      Greenlet.current.kill()
    } finally {
      sleep(5)
      log.push('cleaned up')
    }
  })
  await t.throwsAsync(ownKill, killed)
  t.deepEqual(log, ['cleaned up', 'cleaned up'])
})

test('a greenlet that was suspended by hand when its signal was aborted is killed once, also if it is resumed first', async (t) => {
  const controller = new AbortController()
  const { signal } = controller
  const log: string[] = []
  const g = spawn.with({ signal }, () => {
    Greenlet.main.switch()
    try {
      sleep(60_000, { signal })
    } finally {
      sleep(5)
      log.push('cleaned up')
    }
  })
  await turn()
  controller.abort()
  g.switch()
  t.true(g.ending)
  await t.throwsAsync(g, killed)
  t.deepEqual(log, ['cleaned up'])
})

test('killAll() at the exit kills a greenlet of which the signal was aborted while it was suspended by hand', async (t) => {
  const ending = await runProgram(`
    const controller = new AbortController()
    const g = spawn.with({ signal: controller.signal }, () => {
      try {
        main.switch()
      } finally {
        console.log('finally')
      }
    })
    await new Promise(setImmediate)
    process.on('exit', () => {
      controller.abort()
      const { ending } = g
      Greenlet.killAll()
      console.log(ending, g.dead)
    })
    process.exit()`)
  t.deepEqual(ending, printed('finally\ntrue true\n'))
})

test('a group of which the owner aborts its own signal ends with its children, and each cleanup may wait', async (t) => {
  const controller = new AbortController()
  const { signal } = controller
  const log: string[] = []
  const clean = (name: string, call: () => void): void => {
    try {
      call()
    } finally {
      sleep(5)
      log.push(name)
    }
  }
  const g = spawn.with({ signal }, () =>
    clean('around', () =>
      group((children) => {
        children.spawn(() => clean('child', () => sleep(60_000)))
        sleep(1)
        clean('owner', () => {
          controller.abort()
          sleep(60_000, { signal })
        })
      }),
    ),
  )
  await t.throwsAsync(g, killed)
  t.deepEqual(log, ['owner', 'child', 'around'])
})

test('a greenlet of which the signal is aborted before the start never starts', async (t) => {
  const reason = new Error('reason')
  const run = (): void => t.fail()
  const early = spawn.with({ signal: AbortSignal.abort(reason) }, run)
  t.true(early.dead)
  const controller = new AbortController()
  const late = spawn.with({ signal: controller.signal }, run)
  controller.abort(reason)
  t.true(late.dead)
  for (const g of [early, late]) {
    const { cause } = await t.throwsAsync(g, killed)
    t.true(cause instanceof GreenletExit)
    t.is((cause as Error).cause, reason)
  }
})

test.serial('also while switches are traced', async (t) => {
  const controller = new AbortController()
  settrace(() => {})
  try {
    const g = spawn.with({ signal: controller.signal }, () => t.fail())
    controller.abort()
    await t.throwsAsync(g, killed)
  } finally {
    settrace(null)
  }
})

test('a signal keeps no listener when the greenlet has ended, and an abort does nothing then', async (t) => {
  const controller = new AbortController()
  const { signal } = controller
  const listeners = (): number => getEventListeners(signal, 'abort').length
  const g = spawn.with({ signal }, () => 'done')
  const failed = spawn.with({ signal }, () => {
    throw new Error('failed')
  })
  t.is(listeners(), 2)
  t.is(await g, 'done')
  await t.throwsAsync(failed, { message: 'failed' })
  const other = spawn.with({ signal }, () => wait(pending().promise))
  await turn()
  other.kill()
  t.is(listeners(), 0)
  controller.abort()
  await turn()
})

test('a greenlet that was killed by its signal and not awaited is not reported', async (t) => {
  const ending = await runProgram(`
    const controller = new AbortController()
    spawn.with({ signal: controller.signal }, () => sleep(60_000))
    spawn.with({ signal: AbortSignal.abort() }, () => {})
    setTimeout(() => { controller.abort(); console.log('aborted') }, 5)`)
  t.deepEqual(ending, printed('aborted\n'))
})

test('a greenlet that refuses to end when its signal is aborted is reported by a warning', async (t) => {
  const { code, stdout, stderr } = await runProgram(`
    const controller = new AbortController()
    const g = spawn.with({ signal: controller.signal, name: 'stubborn' }, () => {
      try { main.switch() } catch { main.switch() }
    })
    process.on('warning', ({ name, code, message }) => console.log(name, code, message.includes("'stubborn'")))
    setTimeout(() => controller.abort(), 5)`)
  t.deepEqual([code, stdout, stderr], [0, 'GreenletWarning ERR_GREENLET_KILL_REFUSED true\n', ''])
})

test('spawn.with() refuses wrong options', (t) => {
  const refused = (call: () => unknown, message: RegExp): void => {
    t.throws(call, { instanceOf: TypeError, code: 'ERR_GREENLET_INVALID_ARG', message })
  }
  const fn = (): void => {}
  refused(
    () => spawn.with({ nme: 'x' } as object, fn),
    /spawn\.with\(\) has no option 'nme'; it has name, context, signal/,
  )
  refused(
    () => spawn.with(fn as object, undefined as never),
    /options of spawn\.with\(\) are an object, not the function/,
  )
  refused(() => spawn.with({}, 7 as never), /spawn\.with\(\) takes options and a function, not the number 7/)
  refused(() => spawn.with({ name: 7 as never }, fn), /name of a greenlet must be a string/)
  refused(() => spawn.with({ signal: 7 as never }, fn), /signal of spawn\.with\(\) must be an AbortSignal/)
  refused(() => spawn.with({ context: 7 as never }, fn), /context must be an AsyncResource or null/)
})
