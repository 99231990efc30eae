import { EventEmitter, on } from 'node:events'
import { Readable } from 'node:stream'
import test from 'ava'
import { Greenlet, type GreenletError, GreenletExit, sleep, spawn, wait } from '../../js/index.ts'
import { group, iterate, joinAll, Local, retry, timeout, TimeoutError, waitAny } from '../../js/tools/index.ts'
import { later, pending, turn } from '../helpers/promises.ts'
import { caught, codeOf } from './helpers.ts'

const never = (): void => wait(new Promise<void>(() => {}))

test('timeout() returns the result of its function, and leaves nothing behind', async (t) => {
  t.is(await spawn(() => timeout(1000, () => wait(later('done')))), 'done')
  t.is(await spawn(() => timeout(1000, async () => later('done'))), 'done')
  const error = new Error('own')
  t.is(
    await caught(() =>
      timeout(1000, () => {
        throw error
      }),
    ),
    error,
  )
  // The deadline does not come later.
  t.is(await spawn(() => (timeout(5, () => 1), sleep(20), 'alive')), 'alive')
})

test('timeout() throws a TimeoutError where its function waits', async (t) => {
  let inside: unknown
  const error = await caught(() =>
    timeout(5, () => {
      try {
        never()
      } catch (e) {
        inside = e
        throw e
      }
    }),
  )
  t.true(error instanceof TimeoutError)
  t.is(error, inside)
  t.is((error as GreenletError).code, 'ERR_GREENLET_TIMEOUT')
  t.regex(String(error), /was not done in 5 ms/)
})

test('a deadline comes once: cleanup may wait', async (t) => {
  const log: string[] = []
  const error = await caught(() =>
    timeout(2, () => {
      try {
        never()
      } finally {
        sleep(20)
        log.push('cleaned up')
      }
    }),
  )
  t.true(error instanceof TimeoutError)
  t.deepEqual(log, ['cleaned up'])
})

test('timeout() calls its third argument for its own deadline only', async (t) => {
  t.is(await spawn(() => timeout(2, never, (error) => error.code)), 'ERR_GREENLET_TIMEOUT')
  const inner = new TimeoutError('of another')
  t.is(
    await caught(() =>
      timeout(
        1000,
        () => {
          throw inner
        },
        () => 'wrong',
      ),
    ),
    inner,
  )
})

test('timeout() calls its third argument whatever error its function made of the deadline', async (t) => {
  const given: unknown[] = []
  const wrapping = (): void => {
    try {
      never()
    } catch (error) {
      throw new Error('not loaded', { cause: error })
    }
  }
  const failing = (): unknown =>
    group((children) => {
      children.spawn(() => {
        try {
          never()
        } finally {
          // oxlint-disable-next-line no-unsafe-finally -- this is what the test is about
          throw new RangeError('of the cleanup')
        }
      })
      never()
    })
  for (const fn of [wrapping, failing]) {
    const run = () => timeout(2, fn, (error, thrown) => (given.push(error, thrown), 'instead'))
    t.is(await spawn(run), 'instead')
    const [error, thrown] = given.splice(0) as [GreenletError, Error]
    t.true(error instanceof TimeoutError)
    t.is(thrown.constructor, fn === wrapping ? Error : AggregateError)
    // Without it, the function's own error comes out.
    t.is(((await caught(() => timeout(2, fn))) as Error).constructor, thrown.constructor)
  }
})

test('timeout() does not call its third argument for an error that the deadline has not caused, nor for a kill', async (t) => {
  const wrong = (): string => 'wrong'
  // The deadline passes, and the function ends before it waits again.
  const early = () =>
    timeout(
      1,
      () => {
        const end = performance.now() + 5
        while (performance.now() < end);
        throw new RangeError('of the function')
      },
      wrong,
    )
  t.true((await caught(early)) instanceof RangeError)
  // It is killed, or an outer deadline passes, while it cleans up.
  const cleaning = pending()
  const slow = (): void => {
    try {
      never()
    } catch {
      cleaning.resolve(undefined)
      try {
        never()
      } catch (error) {
        throw new Error('wrapped', { cause: error })
      }
    }
  }
  const killed = spawn(() => timeout(1, slow, wrong))
  await cleaning.promise
  killed.kill()
  await t.throwsAsync(killed, { message: 'wrapped' })
  const log: unknown[] = []
  const outer = () =>
    timeout(
      30,
      () => {
        try {
          timeout(1, slow, wrong)
        } catch (error) {
          log.push((error as Error).message)
          throw error
        }
      },
      () => 'outer',
    )
  t.is(await spawn(outer), 'outer')
  t.deepEqual(log, ['wrapped'])
})

test('an outer deadline that passes in an inner block is not taken for the inner one', async (t) => {
  const log: unknown[] = []
  const run = (): unknown =>
    timeout(5, () => {
      try {
        return timeout(1000, never, () => 'wrong')
      } catch (error) {
        log.push(error instanceof TimeoutError, error instanceof GreenletExit)
        throw error
      }
    })
  const error = await caught(run)
  t.true(error instanceof TimeoutError)
  t.regex(String(error), /in 5 ms/)
  t.deepEqual(log, [false, true])
  t.is(
    await spawn(() =>
      timeout(
        5,
        () => timeout(1000, never, () => 'wrong'),
        () => 'outer',
      ),
    ),
    'outer',
  )
  t.is(
    await spawn(() =>
      timeout(
        1000,
        () => timeout(5, never, () => 'inner'),
        () => 'wrong',
      ),
    ),
    'inner',
  )
})

test('the inner deadline, and after it the outer one', async (t) => {
  const result = spawn(() =>
    timeout(
      20,
      () => {
        const first = timeout(2, never, () => 'inner')
        timeout(1000, never)
        return first
      },
      () => 'outer',
    ),
  )
  t.is(await result, 'outer')
})

test('a deadline finds a greenlet that had switched away when it passed', async (t) => {
  const result = spawn(() =>
    timeout(
      2,
      () => {
        // Main resumes it by hand, after the deadline.
        Greenlet.main.switch()
        never()
      },
      () => 'late',
    ),
  )
  await later(undefined, 10)
  result.switch()
  t.is(await result, 'late')
})

test('a greenlet that is killed in timeout() ends, and its deadline with it', async (t) => {
  const g = spawn(() => timeout(3, never, () => 'wrong'))
  await turn()
  g.kill()
  await later(undefined, 8)
  await t.throwsAsync(g, { code: 'ERR_GREENLET_KILLED' })
})

test('timeout() on main calls its function, which cannot wait there', (t) => {
  t.is(
    timeout(1, () => 'main'),
    'main',
  )
  t.is(
    codeOf(() => timeout(1, never)),
    'ERR_GREENLET_WAIT_ON_MAIN',
  )
})

test('joinAll() gives all results, and throws when all have ended', async (t) => {
  const g = spawn(() => joinAll([spawn(() => (sleep(2), 1)), later('two'), spawn(async () => 3)]))
  t.deepEqual(await g, [1, 'two', 3])
  t.deepEqual(await spawn(() => joinAll([])), [])
  const log: string[] = []
  const fail = (name: string): never => {
    log.push(name)
    throw new Error(name)
  }
  const slow = (): void => {
    sleep(5)
    log.push('slow')
  }
  t.is(String(await caught(() => joinAll([spawn(fail, 'a'), spawn(slow)]))), 'Error: a')
  t.deepEqual(log, ['a', 'slow'])
  const several = await caught(() => joinAll(new Set([spawn(fail, 'b'), spawn(slow), spawn(fail, 'c')])))
  t.deepEqual((several as AggregateError).errors.map(String), ['Error: b', 'Error: c'])
  const killed = spawn(never)
  setImmediate(() => killed.kill())
  t.is(((await caught(() => joinAll([killed]))) as GreenletError).code, 'ERR_GREENLET_KILLED')
})

test('waitAny() gives the one that ended first, also by an error', async (t) => {
  const { promise, reject } = pending()
  const slow = spawn(() => sleep(1000))
  const first = spawn(() => waitAny([slow, promise]) === promise)
  setImmediate(() => reject(new Error('first')))
  t.true(await first)
  t.true((await spawn(() => waitAny([slow, Promise.resolve(1), promise]))) === 1)
  slow.kill()
  t.true(await spawn(() => waitAny([slow, new Promise(() => {})]) === slow))
})

test('joinAll() and waitAny() have limits, and refuse what cannot end', async (t) => {
  for (const waits of [joinAll, waitAny] as ((list: never, limits?: object) => unknown)[]) {
    const list = [new Promise(() => {})] as never
    t.true((await caught(() => waits(list, { timeout: 1 }))) instanceof TimeoutError)
    t.is(await caught(() => waits(list, { signal: AbortSignal.abort('reason') })), 'reason')
    t.is(
      codeOf(() => waits(list)),
      'ERR_GREENLET_WAIT_ON_MAIN',
    )
    for (const wrong of [undefined, 1, 'text', [1], [new Greenlet(() => {})], {}]) {
      t.is(
        codeOf(() => waits(wrong as never)),
        'ERR_GREENLET_INVALID_ARG',
      )
    }
    t.is(
      codeOf(() => waits(list, { timeuot: 1 })),
      'ERR_GREENLET_INVALID_ARG',
    )
  }
  t.is(
    codeOf(() => waitAny([])),
    'ERR_GREENLET_INVALID_ARG',
  )
})

test('iterate() gives the chunks of a stream, and its error', async (t) => {
  const read = (stream: Readable): unknown[] => [...iterate<unknown>(stream)]
  t.deepEqual(await spawn(read, Readable.from(['a', 'b'])), ['a', 'b'])
  const broken = new Readable({ read() {} })
  const reading = caught(() => read(broken))
  setImmediate(() => broken.destroy(new Error('broken')))
  t.is(String(await reading), 'Error: broken')
})

test('iterate() takes async generators, web streams, events and promises, and nests', async (t) => {
  async function* numbers(): AsyncGenerator<number> {
    yield 1
    yield later(2)
  }
  t.deepEqual(await spawn(() => [...iterate(numbers())]), [1, 2])
  t.deepEqual(await spawn(() => [...iterate(new Blob(['text']).stream() as never)].map(String)), ['116,101,120,116'])
  t.deepEqual(await spawn(() => [...iterate([1, later(2), Promise.resolve(3)])]), [1, 2, 3])
  const pairs = (): number[] => [1, 2].flatMap((x) => [...iterate(numbers())].map((y) => x * y))
  t.deepEqual(await spawn(pairs), [1, 2, 2, 4])
  const emitter = new EventEmitter()
  const first = spawn(() => {
    for (const [item] of iterate(on(emitter, 'item')) as Iterable<unknown[]>) return item
    return undefined
  })
  setImmediate(() => emitter.emit('item', 'first'))
  t.is(await first, 'first')
  t.is(emitter.listenerCount('item'), 0)
})

/** An async iterable that says what is done with it. */
function watched(
  log: string[],
  next: () => Promise<IteratorResult<number>>,
  back = async (): Promise<void> => {},
): AsyncIterable<number> {
  return {
    [Symbol.asyncIterator]: () => ({
      next,
      return: async () => {
        log.push('closing')
        await back()
        log.push('closed')
        return { done: true, value: undefined }
      },
    }),
  }
}

test('iterate() closes its source where the loop is left, and waits for that', async (t) => {
  const log: string[] = []
  const source = watched(
    log,
    async () => ({ done: false, value: 1 }),
    () => later(undefined),
  )
  await spawn(() => {
    for (const item of iterate(source)) if (item === 1) break
    log.push('left')
  })
  const error = await caught(() => {
    for (const _ of iterate(source)) throw new Error('in the loop')
  })
  t.is(String(error), 'Error: in the loop')
  t.deepEqual(log, ['closing', 'closed', 'left', 'closing', 'closed'])
})

test('iterate() does not close a source that has ended or failed', async (t) => {
  const log: string[] = []
  t.deepEqual(await spawn(() => [...iterate(watched(log, async () => ({ done: true, value: 0 })))]), [])
  t.is(
    String(await caught(() => [...iterate(watched(log, async () => Promise.reject(new Error('failed'))))])),
    'Error: failed',
  )
  t.is(
    String(
      await caught(() => [
        ...iterate(
          watched(log, () => {
            throw new Error('at once')
          }),
        ),
      ]),
    ),
    'Error: at once',
  )
  t.is(
    ((await caught(() => [...iterate(watched(log, async () => 1 as never))])) as GreenletError).code,
    'ERR_GREENLET_INVALID_ARG',
  )
  t.deepEqual(log, [])
})

test('iterate() closes its source without waiting when its greenlet is killed or late', async (t) => {
  const log: string[] = []
  const stuck = watched(
    log,
    () => new Promise(() => {}),
    () => new Promise(() => {}),
  )
  const g = spawn(() => [...iterate(stuck)])
  await turn()
  g.kill()
  t.true(g.dead)
  t.true((await caught(() => timeout(1, () => [...iterate(stuck)]))) instanceof TimeoutError)
  t.deepEqual(log, ['closing', 'closing'])
})

test('iterate() on main is an error, and does not touch its source', (t) => {
  const log: string[] = []
  const source = watched(log, async () => (log.push('next'), { done: false, value: 1 }))
  t.is(
    codeOf(() => [...iterate(source)]),
    'ERR_GREENLET_WAIT_ON_MAIN',
  )
  t.is(
    codeOf(() => [...iterate([1])]),
    'ERR_GREENLET_WAIT_ON_MAIN',
  )
  for (const wrong of [undefined, null, 1, {}])
    t.is(
      codeOf(() => iterate(wrong as never)),
      'ERR_GREENLET_INVALID_ARG',
    )
  t.deepEqual(log, [])
})

test('a Local has a value for each greenlet', async (t) => {
  const local = new Local<number>(() => 0)
  const count = (): number => {
    local.set(local.get() + 1)
    wait(turn())
    local.set(local.get() + 1)
    return local.get()
  }
  t.deepEqual(await Promise.all([spawn(count), spawn(count)]), [2, 2])
  t.is(local.get(), 0)
  local.set(5)
  t.is(await spawn(() => local.get()), 0)
  t.true(local.delete())
  t.false(local.delete())
  t.is(local.get(), 0)
  t.is(new Local<string | undefined>().get(), undefined)
  t.is(
    codeOf(() => new Local<number>(1 as never)),
    'ERR_GREENLET_INVALID_ARG',
  )
})

test('retry() calls again after an error, so many times', async (t) => {
  const attempts: number[] = []
  const busy = (attempt: number): string => {
    attempts.push(attempt)
    if (attempt < 3) throw new Error(`busy ${attempt}`)
    return 'done'
  }
  t.is(await spawn(() => retry(busy, { delay: (attempt) => attempt })), 'done')
  t.deepEqual(attempts, [1, 2, 3])
  t.is(retry(busy), 'done')
  t.is(String(await caught(() => retry(busy, { times: 2 }))), 'Error: busy 2')
  t.is(String(await caught(() => retry(busy, { when: (error) => String(error) !== 'Error: busy 1' }))), 'Error: busy 1')
  t.is(await spawn(() => retry(async (attempt) => busy(attempt))), 'done')
  t.is(
    codeOf(() => retry(busy, { delay: 1 })),
    'ERR_GREENLET_WAIT_ON_MAIN',
  )
})

test('retry() does not try again after a kill or an outer deadline, but after its own', async (t) => {
  let attempts = 0
  const stuck = (): void => {
    attempts++
    never()
  }
  const g = spawn(() => retry(stuck, { times: Infinity }))
  await turn()
  g.kill()
  t.true(g.dead)
  t.true((await caught(() => timeout(2, () => retry(stuck, { times: Infinity })))) instanceof TimeoutError)
  t.true(
    (await caught(() => timeout(2, () => timeout(1000, () => retry(stuck, { times: Infinity }))))) instanceof
      TimeoutError,
  )
  t.is(attempts, 3)
  t.is(await spawn(() => retry((attempt) => (attempt < 3 ? timeout(1, stuck) : 'third'))), 'third')
  t.is(attempts, 5)
})

test('retry() does not try again where a kill or a deadline has become another error', async (t) => {
  let attempts = 0
  const query = (): never => {
    attempts++
    try {
      return wait(new Promise<never>(() => {}))
    } catch (cause) {
      throw new Error('query failed', { cause })
    }
  }
  const killed = spawn(() => retry(query))
  await turn()
  killed.kill()
  await t.throwsAsync(killed, { message: 'query failed' })
  t.is(String(await caught(() => timeout(2, () => retry(query)))), 'Error: query failed')
  t.is(String(await caught(() => timeout(2, () => timeout(1000, () => retry(query))))), 'Error: query failed')
  t.is(attempts, 3)
  t.is(String(await caught(() => retry(() => timeout(1, query)))), 'Error: query failed', 'a deadline for each attempt')
  t.is(attempts, 6)
})

test('retry() ends with its signal', async (t) => {
  const controller = new AbortController()
  const g = spawn(() =>
    retry(
      () => {
        throw new Error('busy')
      },
      { times: Infinity, delay: 60_000, signal: controller.signal },
    ),
  )
  await turn()
  controller.abort(new Error('aborted'))
  await t.throwsAsync(g, { message: 'aborted' })
  t.is(String(await caught(() => retry(() => 1, { signal: controller.signal }))), 'Error: aborted')
})

test('wrong arguments are refused', (t) => {
  const wrong: (() => unknown)[] = [
    () => timeout('5' as never, () => {}),
    () => timeout(-1, () => {}),
    () => timeout(2 ** 31, () => {}),
    () => timeout(NaN, () => {}),
    () => timeout(5, undefined as never),
    () => timeout(5, () => {}, 'otherwise' as never),
    () => retry(undefined as never),
    () => retry(() => {}, { times: 0 }),
    () => retry(() => {}, { tries: 1 } as never),
    () => retry(() => {}, { delay: -1 }),
    () => retry(() => {}, { when: 1 as never }),
    () => retry(() => {}, { signal: 1 as never }),
    () =>
      retry(
        () => {
          throw new Error('busy')
        },
        { delay: () => NaN },
      ),
  ]
  for (const use of wrong) t.is(codeOf(use), 'ERR_GREENLET_INVALID_ARG', String(use))
})
