import test from 'ava'
import { Greenlet, type GreenletError, sleep, spawn, wait } from '../../js/index.ts'
import { group, Pool, Queue, timeout, TimeoutError } from '../../js/tools/index.ts'
import { later, turn } from '../helpers/promises.ts'
import { caught, codeOf } from './helpers.ts'

const never = (): void => wait(new Promise<void>(() => {}))

test('a queue gives items in the order in which they came, and blocks where there are none', async (t) => {
  const queue = new Queue<number>()
  const got = [1, 2, 3].map(() => spawn(() => queue.get()))
  await turn()
  t.is(queue.getting, 3)
  t.deepEqual([queue.offer(1), queue.offer(2), queue.offer(3), queue.offer(4)], [true, true, true, true])
  t.deepEqual(await Promise.all(got), [1, 2, 3])
  t.deepEqual([queue.size, queue.poll(), queue.poll(), queue.size], [1, 4, undefined, 0])
})

test('a bounded queue blocks while it is full', async (t) => {
  const queue = new Queue<number>({ max: 2 })
  const putting = spawn(() => {
    for (let i = 1; i <= 5; i++) queue.put(i)
  })
  await turn()
  t.deepEqual([queue.size, queue.putting, queue.offer(9)], [2, 1, false])
  const got: (number | undefined)[] = []
  while (got.length < 5) {
    got.push(queue.poll())
    await turn()
  }
  t.deepEqual(got, [1, 2, 3, 4, 5])
  await putting
  t.is(
    codeOf(() => new Queue({ max: 0 })),
    'ERR_GREENLET_INVALID_ARG',
  )
  t.is(
    codeOf(() => new Queue({ size: 1 } as never)),
    'ERR_GREENLET_INVALID_ARG',
  )
})

test('a greenlet that is killed in get() after it was given its turn leaves the item to the next one', async (t) => {
  const queue = new Queue<string>()
  const [a, b, c] = ['a', 'b', 'c'].map((name) => spawn(() => `${name} ${queue.get()}`))
  await turn()
  queue.offer('first')
  a!.kill()
  queue.offer('second')
  t.is(await b, 'b first')
  t.is(await c, 'c second')
  t.is(queue.size, 0)
  const alone = spawn(() => queue.get())
  await turn()
  queue.offer('kept')
  alone.kill()
  t.is(queue.poll(), 'kept')
})

test('a greenlet that is killed in put() after it was given its turn leaves the place to the next one', async (t) => {
  const queue = new Queue<string>({ max: 1 })
  queue.put('full')
  const [a, b] = ['a', 'b'].map((name) => spawn(() => queue.put(name)))
  await turn()
  t.is(queue.poll(), 'full')
  t.false(queue.offer('in between'))
  a!.kill()
  await b
  t.is(queue.poll(), 'b')
  t.is(queue.poll(), undefined)
})

test('a closed queue can be emptied, and then ends iterations and fails get() and put()', async (t) => {
  const queue = new Queue<number>({ max: 2 })
  const all = spawn(() => [...queue])
  const getting = [spawn(() => queue.get()), spawn(() => queue.get())]
  await turn()
  queue.offer(1)
  queue.close()
  queue.close(new Error('again'))
  t.deepEqual(await all, [1])
  for (const g of getting) await t.throwsAsync(g, { code: 'ERR_GREENLET_CLOSED' })
  t.false(queue.offer(2))
  t.deepEqual(
    [codeOf(() => queue.put(2)), codeOf(() => queue.get()), queue.poll()],
    ['ERR_GREENLET_CLOSED', 'ERR_GREENLET_CLOSED', undefined],
  )
  t.deepEqual([...queue], [])
  t.true(queue.closed)
})

test('close() refuses those that wait with put(), and leaves what is in the queue', async (t) => {
  const queue = new Queue<number>({ max: 1 })
  queue.put(1)
  const putting = [2, 3].map((n) => spawn(() => queue.put(n)))
  await turn()
  t.is(queue.poll(), 1)
  t.is(queue.poll(), undefined)
  queue.close()
  for (const g of putting) await t.throwsAsync(g, { code: 'ERR_GREENLET_CLOSED' })
  t.deepEqual([queue.size, ...queue], [0])
  const failed = new Queue<number>()
  failed.put(7)
  failed.close(new Error('lost connection'))
  t.is(failed.get(), 7)
  t.throws(() => failed.get(), { message: 'lost connection' })
  t.throws(() => [...failed], { message: 'lost connection' })
})

test('several greenlets that iterate a queue get each item once', async (t) => {
  const queue = new Queue<number>({ max: 3 })
  const workers = [1, 2, 3].map(() =>
    spawn(() => {
      const mine = []
      for (const item of queue) {
        wait(turn())
        mine.push(item)
      }
      return mine
    }),
  )
  await spawn(() => {
    for (let i = 0; i < 100; i++) queue.put(i)
    queue.close()
  })
  const all = (await Promise.all(workers)).flat()
  t.deepEqual(
    all.toSorted((a, b) => a - b),
    Array.from({ length: 100 }, (_, i) => i),
  )
})

test('a queue on main works where it does not block', async (t) => {
  const queue = new Queue<number>({ max: 1 })
  t.is(
    codeOf(() => queue.get()),
    'ERR_GREENLET_WAIT_ON_MAIN',
  )
  queue.put(1)
  t.is(
    codeOf(() => queue.put(2)),
    'ERR_GREENLET_WAIT_ON_MAIN',
  )
  t.deepEqual([queue.getting, queue.putting, queue.get()], [0, 0, 1])
  t.true((await caught(() => queue.get({ timeout: 1 }))) instanceof TimeoutError)
  t.is(await caught(() => queue.get({ signal: AbortSignal.abort('reason') })), 'reason')
  t.is(queue.getting, 0)
})

test('a group returns when its children have ended', async (t) => {
  const log: string[] = []
  const work = (name: string): string => {
    wait(turn())
    log.push(name)
    return name
  }
  const result = await spawn(() =>
    group((g) => {
      const a = g.spawn(work, 'a')
      g.spawn(work, 'b')
      t.is(a.name, 'work')
      t.is(g.living, 2)
      return a.join()
    }),
  )
  t.is(result, 'a')
  t.deepEqual(log, ['a', 'b'])
  t.is(await spawn(() => group(async (g) => g.spawn(async () => later(5)))), 5)
})

test('the first error of a child ends its siblings and its owner, and is thrown', async (t) => {
  const log: string[] = []
  const error = new Error('broken')
  const stuck = (name: string): void => {
    try {
      never()
    } finally {
      log.push(name)
    }
  }
  const owner = (): void =>
    group((g) => {
      g.spawn(stuck, 'sibling')
      g.spawn(() => {
        wait(turn())
        throw error
      })
      stuck('owner')
    })
  t.is(await caught(owner), error)
  t.deepEqual(log, ['sibling', 'owner'])
})

test('an owner that keeps the interruption from leaving does not hide the error', async (t) => {
  const run = (): string =>
    group((g) => {
      g.spawn(() => {
        throw new Error('broken')
      })
      try {
        never()
      } catch {
        t.is(
          codeOf(() => g.spawn(never)),
          'ERR_GREENLET_CLOSED',
        )
      }
      return 'fine'
    })
  t.is(String(await caught(run)), 'Error: broken')
})

test('all errors of a group are collected', async (t) => {
  const run = (): void =>
    group((g) => {
      g.spawn(() => {
        try {
          never()
        } finally {
          // oxlint-disable-next-line no-unsafe-finally -- the test needs it
          throw new Error('in cleanup')
        }
      })
      g.spawn(() => {
        wait(turn())
        throw new Error('first')
      })
      never()
    })
  const error = (await caught(run)) as AggregateError
  t.deepEqual(error.errors.map(String), ['Error: first', 'Error: in cleanup'])
})

test('children end with their owner: by its error, its kill, its deadline', async (t) => {
  const children: Greenlet[] = []
  const run = (end: () => void): void =>
    group((g) => {
      children.push(
        g.spawn(never),
        g.spawn(() => group((inner) => void children.push(inner.spawn(never)))),
      )
      wait(turn())
      wait(turn())
      end()
    })
  t.is(
    String(
      await caught(() =>
        run(() => {
          throw new Error('own')
        }),
      ),
    ),
    'Error: own',
  )
  t.true((await caught(() => timeout(5, () => run(() => {})))) instanceof TimeoutError)
  t.is(
    await spawn(() =>
      timeout(
        5,
        () => run(never),
        () => 'late',
      ),
    ),
    'late',
  )
  const g = spawn(() => run(never))
  for (let i = 0; i < 5; i++) await turn()
  g.kill()
  t.true(g.dead)
  t.is(children.length, 12)
  t.true(children.every((child) => child.dead))
})

test('a child that was killed has not failed, and one that waits in its cleanup is waited for', async (t) => {
  const log: string[] = []
  const cleaned = (): void => {
    try {
      never()
    } finally {
      wait(turn())
      wait(turn())
      log.push('cleaned')
    }
  }
  const result = spawn(() =>
    group((g) => {
      const [a, b] = [g.spawn(never), g.spawn(() => 'b')]
      a.kill()
      return b.join()
    }),
  )
  t.is(await result, 'b')
  t.is(
    String(
      await caught(() =>
        group((g) => {
          g.spawn(cleaned)
          wait(turn())
          throw new Error('own')
        }),
      ),
    ),
    'Error: own',
  )
  t.deepEqual(log, ['cleaned'])
})

test('a group on main, or after its end, is an error', async (t) => {
  let called = false
  t.is(
    codeOf(() => group(() => (called = true))),
    'ERR_GREENLET_WAIT_ON_MAIN',
  )
  t.false(called)
  const late = await spawn(() => group((g) => ({ spawn: () => g.spawn(never) })))
  t.is(
    codeOf(() => late.spawn()),
    'ERR_GREENLET_CLOSED',
  )
  t.is(
    codeOf(() => group(1 as never)),
    'ERR_GREENLET_INVALID_ARG',
  )
})

test('a pool runs so many at a time, and a place is free again however a greenlet ends', async (t) => {
  const pool = new Pool(2)
  let [now, most] = [0, 0]
  const work = (n: number): number => {
    most = Math.max(most, ++now)
    wait(turn())
    now--
    return n
  }
  const all = await spawn(() => [1, 2, 3, 4, 5].map((n) => pool.spawn(work, n)))
  t.is(most, 2)
  t.deepEqual(await Promise.all(all), [1, 2, 3, 4, 5])
  await turn()
  t.is(pool.free, 2)
  const [unstarted, failing] = [
    pool.spawn(never),
    pool.spawn(() => {
      throw new Error('failed')
    }),
  ]
  t.is(unstarted.name, 'never')
  t.deepEqual(pool.living, [unstarted, failing])
  t.is(
    codeOf(() => pool.spawn(never)),
    'ERR_GREENLET_WAIT_ON_MAIN',
  )
  unstarted.kill()
  await t.throwsAsync(failing, { message: 'failed' })
  await turn()
  t.deepEqual([pool.free, pool.living], [2, []])
})

test('an async function keeps its place until its promise is settled', async (t) => {
  const pool = new Pool(1)
  const first = pool.spawn(async () => later('first'))
  await turn()
  t.is(pool.free, 0)
  const second = spawn(() => pool.spawn(() => 'second').join())
  t.deepEqual(await Promise.all([first, second]), ['first', 'second'])
})

test('an error that no code takes is an unhandled rejection, as of spawn()', async (t) => {
  const seen: unknown[] = []
  const listeners = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  process.once('unhandledRejection', (reason) => seen.push(String(reason)))
  const pool = new Pool(1)
  pool.spawn(() => {
    throw new Error('lost')
  })
  await later(undefined, 5)
  for (const listener of listeners) process.on('unhandledRejection', listener)
  t.deepEqual(seen, ['Error: lost'])
})

test('join() waits until a pool is empty, and kill() empties it', async (t) => {
  const pool = new Pool(2)
  const log: string[] = []
  pool.join()
  const spawner = spawn(() => {
    for (const name of ['a', 'b', 'c']) pool.spawn(() => (wait(turn()), log.push(name)))
  })
  await turn()
  t.is(
    codeOf(() => pool.join()),
    'ERR_GREENLET_WAIT_ON_MAIN',
  )
  await spawn(() => pool.join())
  t.deepEqual(log, ['a', 'b', 'c'])
  await spawner
  const all = [pool.spawn(never), pool.spawn(never)]
  await turn()
  t.true((await caught(() => pool.join({ timeout: 1 }))) instanceof TimeoutError)
  pool.kill()
  t.true(all.every((g) => g.dead))
  await spawn(() => pool.join())
  t.is(await pool.spawn(() => (pool.kill(), 'not itself')), 'not itself')
})

test('map() gives results in order, and ends all at the first error', async (t) => {
  const pool = new Pool(3)
  const slow = (n: number, i: number): string => {
    for (let left = 6 - n; left > 0; left--) wait(turn())
    return `${n} ${i}`
  }
  t.deepEqual(await spawn(() => pool.map(new Set([1, 2, 3, 4, 5]), slow)), ['1 0', '2 1', '3 2', '4 3', '5 4'])
  t.deepEqual(await spawn(() => pool.map([], slow)), [])
  const started: number[] = []
  const error = await caught(() =>
    pool.map([1, 2, 3, 4, 5, 6], (n) => {
      started.push(n)
      if (n === 2) throw new Error('two')
      never()
    }),
  )
  t.is(String(error), 'Error: two')
  t.deepEqual(started, [1, 2])
  await turn()
  t.is(pool.free, 3)
  const mapping = spawn(() => pool.map([1, 2], never))
  await turn()
  await turn()
  pool.kill()
  await t.throwsAsync(mapping, { code: 'ERR_GREENLET_KILLED' })
})

test('imap() takes items only as results are taken, and ends its greenlets when it is left', async (t) => {
  const pool = new Pool(2)
  let taken = 0
  function* numbers(): Generator<number> {
    for (;;) yield ++taken
  }
  const started: Greenlet[] = []
  const result = await spawn(() => {
    const got = []
    for (const square of pool.imap(numbers(), (n) => {
      started.push(Greenlet.current)
      wait(turn())
      return n * n
    })) {
      got.push(square)
      if (got.length === 3) break
    }
    return got
  })
  t.deepEqual(result, [1, 4, 9])
  t.true(taken <= 5)
  t.true(started.every((g) => g.dead))
  const failing = (n: number): number => {
    if (n === 2) throw new Error('two')
    return n
  }
  const seen: number[] = []
  const error = await caught(() => {
    for (const n of pool.imap([1, 2, 3], failing)) seen.push(n)
  })
  t.is(String(error), 'Error: two')
  t.deepEqual(seen, [1])
  await turn()
  t.is(pool.free, 2)
})

test('wrong arguments of a pool are refused', (t) => {
  const pool = new Pool(1)
  const wrong: (() => unknown)[] = [
    () => new Pool(0),
    () => new Pool(Infinity),
    () => new Pool(undefined as never),
    () => pool.spawn(1 as never),
    () => pool.map([], undefined as never),
    () => pool.map(undefined as never, never),
    () => pool.imap(undefined as never, never),
    () => pool.join({ wait: 1 } as never),
  ]
  for (const use of wrong) t.is(codeOf(use), 'ERR_GREENLET_INVALID_ARG', String(use))
  t.is(
    codeOf(() => pool.map([1], never)),
    'ERR_GREENLET_WAIT_ON_MAIN',
  )
  t.is(
    codeOf(() => [...pool.imap([1], never)]),
    'ERR_GREENLET_WAIT_ON_MAIN',
  )
  t.is(pool.free, 1)
  t.is(codeOf(() => sleep(1)) as GreenletError['code'], 'ERR_GREENLET_WAIT_ON_MAIN')
})
