import test from 'ava'
import { Greenlet, GreenletError, GreenletExit, sleep, spawn, wait } from '../../js/index.ts'
import { Condition, Event, exclusive, Lock, Semaphore, TimeoutError } from '../../js/tools/index.ts'

import { later, turn } from '../helpers/promises.ts'
import { caught, codeOf } from './helpers.ts'

test('a semaphore lets so many greenlets in, in the order in which they came', async (t) => {
  const semaphore = new Semaphore(2)
  const log: string[] = []
  const enter = (name: string): void =>
    semaphore.run(() => {
      log.push(name)
      wait(turn())
      log.push(name.toUpperCase())
    })
  await Promise.all(['a', 'b', 'c', 'd'].map((name) => spawn(enter, name)))
  // 'A' gives its permit to 'c', which runs before 'b' does.
  t.is(log.join(''), 'abAcBdCD')
  t.deepEqual([semaphore.free, semaphore.waiting], [2, 0])
})

test('a permit that is released goes to the greenlet that waits, and not to one that comes in between', async (t) => {
  const semaphore = new Semaphore(1)
  semaphore.acquire()
  const waiting = spawn(() => semaphore.acquire())
  await turn()
  semaphore.release()
  t.false(semaphore.tryAcquire())
  await waiting
  t.false(semaphore.tryAcquire())
  semaphore.release()
  t.true(semaphore.tryAcquire())
})

test('a greenlet that is killed leaves the line, and hands on a permit that it was given', async (t) => {
  const semaphore = new Semaphore(0)
  const log: string[] = []
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) =>
    spawn(() => {
      semaphore.acquire()
      log.push(name)
    }),
  )
  await turn()
  b!.kill()
  t.is(semaphore.waiting, 3)
  semaphore.release()
  a!.kill()
  c!.interrupt(new Error('enough'))
  await t.throwsAsync(c!, { message: 'enough' })
  await d
  t.deepEqual(log, ['d'])
  t.deepEqual([semaphore.free, semaphore.waiting], [0, 0])
})

test('a wait ends at its timeout, or with its signal', async (t) => {
  const semaphore = new Semaphore(0)
  const error = await caught(() => semaphore.acquire({ timeout: 1 }))
  t.true(error instanceof TimeoutError && error.code === 'ERR_GREENLET_TIMEOUT')
  const controller = new AbortController()
  const aborted = spawn(() => semaphore.acquire({ signal: controller.signal }))
  await turn()
  controller.abort(new Error('aborted'))
  await t.throwsAsync(aborted, { message: 'aborted' })
  t.is(semaphore.waiting, 0)
  semaphore.release()
  t.is(((await caught(() => semaphore.acquire({ signal: controller.signal }))) as Error).message, 'aborted')
  t.is(semaphore.free, 1)
})

test('a semaphore with max refuses a release too many', (t) => {
  const semaphore = new Semaphore(1, { max: 1 })
  t.is(
    codeOf(() => semaphore.release()),
    'ERR_GREENLET_NOT_HELD',
  )
  t.is(semaphore.free, 1)
  new Semaphore(0).release()
})

test('a lock knows its owner, and no other greenlet can release it', async (t) => {
  const lock = new Lock()
  const owner = spawn(() =>
    lock.run(() => {
      t.is(lock.owner, Greenlet.current)
      wait(turn())
      return 'done'
    }),
  )
  await later(undefined, 1)
  await turn()
  t.is(await spawn(() => lock.run(() => 'second')), 'second')
  t.is(await owner, 'done')
  t.is(lock.owner, null)
  t.is(
    codeOf(() => lock.release()),
    'ERR_GREENLET_NOT_HELD',
  )
  const other = spawn(() => lock.run(() => sleep(5)))
  await turn()
  t.is(lock.owner, other)
  t.is(
    codeOf(() => lock.release()),
    'ERR_GREENLET_NOT_HELD',
  )
  t.is(
    codeOf(() => lock.run(() => {})),
    'ERR_GREENLET_WAIT_ON_MAIN',
  )
  t.false(lock.tryAcquire())
  await other
  t.false(lock.locked)
})

test('a lock may be entered again only if it is reentrant', async (t) => {
  const [plain, reentrant] = [new Lock(), new Lock({ reentrant: true })]
  t.is(
    codeOf(() => plain.run(() => plain.run(() => 1))),
    'ERR_GREENLET_DEADLOCK',
  )
  t.false(plain.locked)
  t.is(
    reentrant.run(() => reentrant.run(() => 1)),
    1,
  )
  t.false(reentrant.locked)
  const inner = spawn(() => reentrant.run(() => reentrant.run(() => (sleep(1), 'in'))))
  const next = spawn(() => reentrant.run(() => 'next'))
  t.deepEqual(await Promise.all([inner, next]), ['in', 'next'])
})

test('a greenlet that is killed passes the lock on, also one that was given it and has not run', async (t) => {
  const lock = new Lock()
  const log: string[] = []
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) =>
    spawn(() => lock.run(() => (log.push(name), sleep(name === 'd' ? 0 : 1000)))),
  )
  await turn()
  b!.kill()
  a!.kill()
  t.true(lock.owner === c)
  c!.kill()
  t.true(lock.owner === d)
  await d
  t.deepEqual(log, ['a', 'd'])
  t.false(lock.locked)
})

test('an error or an async function leaves no lock behind', async (t) => {
  const lock = new Lock()
  t.is(
    (
      (await caught(() =>
        lock.run(() => {
          throw new Error('inside')
        }),
      )) as Error
    ).message,
    'inside',
  )
  const log: string[] = []
  const enter = async (name: string): Promise<string> => {
    log.push(`${name} in`)
    await turn()
    log.push(`${name} out`)
    return name
  }
  const all = ['a', 'b'].map((name) => spawn(() => lock.run(() => enter(name))))
  t.deepEqual(await Promise.all(all), ['a', 'b'])
  t.deepEqual(log, ['a in', 'a out', 'b in', 'b out'])
})

test('an exclusive function lets one greenlet in, and is otherwise like the function', async (t) => {
  let inside = 0
  const self = { name: 'self' }
  function slow(this: unknown, a: number, b = 1): unknown[] {
    t.is(++inside, 1)
    wait(turn())
    inside--
    return [this, a, b]
  }
  const once = exclusive(slow)
  t.deepEqual([once.name, once.length], ['slow', 1])
  const results = await Promise.all([1, 2, 3].map((a) => spawn(() => once.call(self, a))))
  t.deepEqual(results, [
    [self, 1, 1],
    [self, 2, 1],
    [self, 3, 1],
  ])
  class Point {
    readonly x: number
    constructor(x: number) {
      t.is(new.target, Point)
      this.x = x
    }
  }
  t.is(new (exclusive(Point))(3).x, 3)
})

test('an exclusive function may be called again by what it calls', async (t) => {
  const walk = exclusive((n: number): number => (n === 0 ? wait(later(0)) : 1 + walk(n - 1)))
  t.deepEqual(await Promise.all([spawn(walk, 3), spawn(walk, 2)]), [3, 2])
})

test('the methods of an exclusive object share one lock, and private fields work', async (t) => {
  class Parser {
    #inside = 0
    #total = 0
    begin(): string {
      return this.#enter('begin')
    }
    end(): string {
      return this.#enter('end')
    }
    both(): string {
      return `${this.begin()} ${this.end()}`
    }
    set total(value: number) {
      this.#total = value
    }
    get total(): number {
      return this.#total
    }
    #enter(what: string): string {
      t.is(++this.#inside, 1)
      wait(turn())
      this.#inside--
      return what
    }
  }
  const parser = exclusive(new Parser())
  t.is(parser.begin, parser.begin)
  t.true(parser instanceof Parser)
  parser.total = 7
  t.is(parser.total, 7)
  const all = [spawn(() => parser.begin()), spawn(() => parser.end()), spawn(() => parser.both())]
  t.deepEqual(await Promise.all(all), ['begin', 'end', 'begin end'])
})

test('an exclusive object on main works while it is free, else it is an error', async (t) => {
  const object = exclusive({ work: (slow: boolean): string => (slow ? (sleep(5), 'slow') : 'fast') })
  t.is(object.work(false), 'fast')
  const inside = spawn(() => object.work(true))
  await turn()
  t.is(
    codeOf(() => object.work(false)),
    'ERR_GREENLET_WAIT_ON_MAIN',
  )
  t.is(await inside, 'slow')
  t.is(object.work(false), 'fast')
})

test('exclusive refuses what it cannot protect', (t) => {
  for (const wrong of [undefined, null, 1, 'text'])
    t.is(
      codeOf(() => exclusive(wrong as never)),
      'ERR_GREENLET_INVALID_ARG',
    )
  t.is(
    codeOf(() => exclusive({}, {} as never)),
    'ERR_GREENLET_INVALID_ARG',
  )
  const frozen = exclusive(Object.freeze({ work: () => 1 }))
  t.is(
    codeOf(() => frozen.work),
    'ERR_GREENLET_INVALID_ARG',
  )
})

test('an event wakes all that wait, also where it is cleared at once', async (t) => {
  const event = new Event()
  const waiting = [1, 2, 3].map((n) => spawn(() => (event.wait(), n)))
  await turn()
  t.is(event.waiting, 3)
  waiting[1]!.kill()
  event.set()
  event.clear()
  t.false(event.isSet)
  t.deepEqual(await Promise.all([waiting[0], waiting[2]]), [1, 3])
  t.is(
    codeOf(() => event.wait()),
    'ERR_GREENLET_WAIT_ON_MAIN',
  )
  t.is(event.waiting, 0)
  event.set()
  event.wait()
  t.is(await spawn(() => (event.wait(), 'at once')), 'at once')
})

test('a condition gives the lock back while it waits, and has it afterwards', async (t) => {
  const changed = new Condition()
  let value = 0
  const wants = (least: number): number =>
    changed.lock.run(() => {
      changed.waitFor(() => value >= least)
      t.is(changed.lock.owner, Greenlet.current)
      return value
    })
  const waiting = [1, 2, 3].map((least) => spawn(wants, least))
  await turn()
  t.is(changed.waiting, 3)
  t.false(changed.lock.locked)
  for (let next = 1; next <= 3; next++) {
    changed.lock.run(() => {
      value = next
      changed.notifyAll()
    })
    t.is(await waiting[next - 1], next)
  }
})

test('a condition notifies so many, in the order in which they came; one that is killed hands it on', async (t) => {
  const changed = new Condition(new Lock({ reentrant: true }))
  const log: number[] = []
  const waiting = [0, 1, 2, 3].map((n) =>
    spawn(() => changed.lock.run(() => changed.lock.run(() => (changed.wait(), log.push(n))))),
  )
  await turn()
  changed.lock.run(() => changed.notify(2))
  waiting[0]!.kill()
  await waiting[1]
  await waiting[2]
  t.deepEqual(log, [1, 2])
  t.is(changed.waiting, 1)
  changed.lock.run(() => changed.notify())
  await waiting[3]
  t.false(changed.lock.locked)
})

test('a greenlet that is interrupted in a condition has the lock before it goes on', async (t) => {
  const changed = new Condition()
  const { lock } = changed
  const log: string[] = []
  const controller = new AbortController()
  const waiting = spawn(() =>
    lock.run(() => {
      try {
        changed.wait({ signal: controller.signal })
      } finally {
        t.is(lock.owner, Greenlet.current)
        log.push('waiting')
      }
    }),
  )
  await turn()
  const other = spawn(() =>
    lock.run(() => {
      controller.abort(new Error('aborted'))
      wait(turn())
      wait(turn())
      log.push('other')
    }),
  )
  await t.throwsAsync(waiting, { message: 'aborted' })
  await other
  t.deepEqual(log, ['other', 'waiting'])
  t.false(lock.locked)
})

test('a condition without its lock is an error', async (t) => {
  const changed = new Condition()
  for (const use of [
    () => changed.wait(),
    () => changed.waitFor(() => true),
    () => changed.notify(),
    () => changed.notifyAll(),
  ]) {
    t.is(codeOf(use), 'ERR_GREENLET_NOT_HELD')
    t.is(
      codeOf(() => use()),
      ((await caught(use)) as GreenletError).code,
    )
  }
  t.is(
    codeOf(() => changed.lock.run(() => changed.wait())),
    'ERR_GREENLET_WAIT_ON_MAIN',
  )
  t.false(changed.lock.locked)
  t.is(
    codeOf(() => new Condition({} as never)),
    'ERR_GREENLET_INVALID_ARG',
  )
})

test('what another thread gets of a tool is a copy without methods', (t) => {
  for (const tool of [new Lock(), new Semaphore(1), new Event(), new Condition()]) {
    const copy = structuredClone(tool) as unknown as Lock
    t.deepEqual([copy instanceof Object, copy.acquire, copy.run], [true, undefined, undefined])
  }
  t.like(
    t.throws(() => structuredClone(exclusive(() => {})), { any: true }),
    { name: 'DataCloneError' },
  )
})

test('wrong arguments are refused before anything happens', async (t) => {
  const invalid = 'ERR_GREENLET_INVALID_ARG'
  const [lock, semaphore, event] = [new Lock(), new Semaphore(1), new Event()]
  event.set()
  const wrong: (() => unknown)[] = [
    () => new Semaphore(-1),
    () => new Semaphore(1.5),
    () => new Semaphore('1' as never),
    () => new Semaphore(2, { max: 1 }),
    () => new Semaphore(1, { maximum: 2 } as never),
    () => new Lock({ reentrant: 1 as never }),
    () => new Lock({ recursive: true } as never),
    () => new Lock(null as never),
    () => lock.run(1 as never),
    () => semaphore.run(undefined as never),
    () => lock.acquire({ tiemout: 1 } as never),
    () => lock.acquire({ timeout: -1 }),
    () => semaphore.acquire({ timeout: NaN }),
    () => event.wait({ signal: {} as never }),
    () => event.wait(5 as never),
    () => new Condition(lock).notify(0),
  ]
  for (const use of wrong) t.is(codeOf(use), invalid, String(use))
  t.regex(String(await caught(() => lock.acquire({ tiemout: 1 } as never))), /'tiemout'.*timeout, signal/)
  t.deepEqual([lock.locked, semaphore.free], [false, 1])
  t.true(
    (await caught(() => {
      throw new GreenletExit()
    })) instanceof GreenletError,
  )
})
