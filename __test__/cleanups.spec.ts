// Killed greenlets that wait while they clean up, and those that start over.

import test from 'ava'
import { Greenlet, GreenletExit, sleep, spawn, wait } from '../js/index.ts'
import { runProgram } from './helpers/program.ts'

const refused = { code: 'ERR_GREENLET_KILL_REFUSED' }
const killed = { code: 'ERR_GREENLET_KILLED' }
const forever = (): void => sleep(1e6)
const turn = (): Promise<void> => new Promise(setImmediate)
/** A call that the event loop answers a few turns later. */
const call = async <T>(value: T): Promise<T> => {
  for (let i = 0; i < 3; i++) await turn()
  return value
}
const query = (text: string): string => wait(call(text))

test('kill() on main returns while a finally block waits, and ended tells when it is over', async (t) => {
  const log: string[] = []
  const g = spawn(() => {
    try {
      forever()
    } finally {
      log.push(query('rollback'))
    }
  })
  await turn()
  const { ended } = g
  g.kill()
  t.is(g.state, 'suspended')
  t.deepEqual(log, [])
  t.is((await ended) as unknown, undefined)
  t.true(g.dead)
  t.deepEqual(log, ['rollback'])
  await t.throwsAsync(g, killed)
})

test('a catch block that waits and throws the exit again is a cleanup', async (t) => {
  const log: unknown[] = []
  const g = spawn(() => {
    try {
      forever()
    } catch (error) {
      log.push(query('rollback'), error instanceof GreenletExit)
      throw error
    }
  })
  await turn()
  g.kill()
  await g.ended
  t.deepEqual(log, ['rollback', true])
})

test('nested finally blocks with several waits all complete', async (t) => {
  const log: string[] = []
  const g = spawn(() => {
    try {
      try {
        try {
          query('work')
          forever()
        } finally {
          for (const name of ['a', 'b', 'c']) log.push(query(name))
        }
      } finally {
        sleep(1)
        log.push(query('d'))
      }
    } finally {
      log.push(spawn(() => query('child')).join())
    }
  })
  await call(0)
  await turn()
  g.kill()
  await g.ended
  t.deepEqual(log, ['a', 'b', 'c', 'd', 'child'])
})

test('a cleanup may wait in the function that was interrupted', async (t) => {
  const log: string[] = []
  const ask = (text: string, answer: Promise<unknown>): void => {
    wait(answer)
    log.push(text)
  }
  const g = spawn(() => {
    ask('begin', call(0))
    try {
      ask('update', new Promise(() => {}))
    } finally {
      for (const text of ['rollback', 'close']) ask(text, call(0))
    }
  })
  await turn()
  await call(0)
  await turn()
  t.deepEqual(log, ['begin'])
  g.kill()
  await g.ended
  t.deepEqual(log, ['begin', 'rollback', 'close'])
})

test('the cleanup of an iterator that a loop closes may wait', async (t) => {
  const log: string[] = []
  function* rows(): Generator<number> {
    try {
      for (let i = 0; ; i++) yield i
    } finally {
      log.push(query('close'))
    }
  }
  const g = spawn(() => {
    for (const row of rows()) if (row === 1) forever()
  })
  await turn()
  g.kill()
  await g.ended
  t.deepEqual(log, ['close'])
})

for (const [what, retry] of [
  [
    'in a loop',
    (fn: () => void) => {
      for (let i = 0; i < 5; i++) {
        try {
          return fn()
        } catch {}
      }
    },
  ],
  [
    'by calling itself',
    function again(fn: () => void, left = 5): void {
      try {
        fn()
      } catch {
        if (left > 1) again(fn, left - 1)
      }
    },
  ],
  [
    'by an iteration of V8',
    (fn: () => void) =>
      [1, 2, 3, 4, 5].forEach(() => {
        try {
          fn()
        } catch {}
      }),
  ],
] as const) {
  test(`a library that swallows the exit and calls back again, ${what}, meets it again`, async (t) => {
    let calls = 0
    const errors = new Set<unknown>()
    const g = spawn(() => {
      retry(() => {
        calls++
        try {
          forever()
        } catch (error) {
          errors.add(error)
          throw error
        }
      })
    })
    await turn()
    g.kill()
    t.true(g.dead)
    t.is(calls, 5)
    t.is(errors.size, 1)
    t.true([...errors][0] instanceof GreenletExit)
  })
}

test('a retry that pauses between its tries meets the exit at each try, and the pauses are waits', async (t) => {
  const log: string[] = []
  const g = spawn(() => {
    for (let i = 0; i < 4; i++) {
      try {
        forever()
      } catch {
        log.push(query('pause'))
      }
    }
  })
  await turn()
  g.kill()
  t.false(g.dead)
  await g.ended
  t.deepEqual(log, ['pause', 'pause', 'pause', 'pause'])
})

test('a greenlet that starts over and over refuses: kill() throws, and it waits as any other', async (t) => {
  let tries = 0
  let stop = false
  const g = spawn(() => {
    while (!stop) {
      try {
        tries++
        forever()
      } catch {}
    }
  })
  await turn()
  t.throws(() => g.kill(), refused)
  t.is(tries, 102)
  t.is(await spawn(() => t.throws(() => g.kill(), refused) !== undefined), true)
  t.is(tries, 203)
  stop = true
  g.kill()
  t.true(g.dead)
})

test('one that starts over after kill() has returned is reported by a warning', async (t) => {
  const { code, stderr } = await runProgram(`
    process.on('warning', (warning) => console.error(warning.name, warning.code, warning.message))
    const g = spawn(function stubborn() {
      for (;;) {
        try {
          sleep(1e6)
        } catch {
          wait(new Promise(setImmediate))
        }
      }
    })
    setTimeout(() => (g.kill(), console.error('returned')), 10)
    process.once('warning', () => process.exit(3))
  `)
  t.is(code, 3, stderr)
  t.regex(stderr, /^returned\nGreenletWarning ERR_GREENLET_KILL_REFUSED greenlet 'stubborn' is still alive: it caught/m)
})

test('a second kill() interrupts a cleanup, and the next cleanup may wait', async (t) => {
  const log: string[] = []
  const g = spawn(() => {
    try {
      try {
        forever()
      } finally {
        forever()
      }
    } finally {
      log.push(query('outer'))
    }
  })
  await turn()
  g.kill()
  g.kill()
  t.false(g.dead)
  await g.ended
  t.deepEqual(log, ['outer'])
})

test('the result of a greenlet that ends after kill() has returned is dropped, and its parent is not resumed', async (t) => {
  const parent: Greenlet = new Greenlet(() => Greenlet.main.switch())
  parent.switch()
  const g = new Greenlet(
    () => {
      try {
        forever()
      } finally {
        query('rollback')
      }
    },
    { parent },
  )
  g.switch()
  g.kill()
  t.is(g.parent, parent)
  await g.ended
  t.is(parent.state, 'suspended')
  parent.kill()
})

test('the error of such a greenlet goes to its parent', async (t) => {
  const log: unknown[] = []
  const error = new Error('rollback failed')
  const parent: Greenlet = new Greenlet(() => {
    try {
      Greenlet.main.switch()
    } catch (caught) {
      log.push(caught)
    }
  })
  parent.switch()
  const g = new Greenlet(
    () => {
      try {
        forever()
      } finally {
        query('rollback')
        // oxlint-disable-next-line no-unsafe-finally -- this is what the test is about
        throw error
      }
    },
    { parent },
  )
  g.switch()
  g.kill()
  await g.ended
  t.deepEqual(log, [error])
})

test('ended is fulfilled however a greenlet ends, and is always the same promise', async (t) => {
  const returned = new Greenlet(() => 1)
  const { ended } = returned
  returned.switch()
  const thrown = spawn(() => {
    throw new Error('of the greenlet')
  })
  await t.throwsAsync(thrown, { message: 'of the greenlet' })
  const unstarted = new Greenlet(() => {})
  unstarted.kill()
  for (const g of [returned, thrown, unstarted]) {
    t.is(g.ended, g.ended)
    t.true(g.ended instanceof Promise)
    t.is((await g.ended) as unknown, undefined)
  }
  t.is(returned.ended, ended)
  t.is(await Promise.race([Greenlet.main.ended, turn().then(() => 'pending')]), 'pending')
})

test('join() of a killed greenlet waits for its cleanup', async (t) => {
  const log: string[] = []
  const g = spawn(() => {
    try {
      forever()
    } finally {
      log.push(query('rollback'))
    }
  })
  await turn()
  g.kill()
  await spawn(() => {
    t.throws(() => g.join(), killed)
    log.push('joined')
  })
  t.deepEqual(log, ['rollback', 'joined'])
})
