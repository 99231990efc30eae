// Random scenarios for each tool; see scenario.ts. PROPERTY_SEED=<seed> repeats a failure, TOOLS_RUNS is the number of
// scenarios of a tool.

import assert from 'node:assert/strict'
import test from 'ava'
import { Greenlet, type SpawnedGreenlet, wait } from '../../js/index.ts'
import { Condition, Event, group, Lock, Pool, Queue, Semaphore } from '../../js/tools/index.ts'
import { turn } from '../helpers/promises.ts'
import { explore, hold, INTERRUPTION, isExpected, kill, Order } from './scenario.ts'

/** A macro: random scenarios find nothing. */
const explores = test.macro(async (t, make: Parameters<typeof explore>[0]) => {
  t.timeout(120_000)
  t.is(await explore(make), undefined)
})

test('a semaphore loses no permit, and gives them in order', explores, () => {
  const permits = 2
  const semaphore = new Semaphore(permits, { max: permits })
  const order = new Order()
  let held = 0
  return {
    work(_, turns, signal) {
      order.through(
        () => semaphore.acquire({ signal }),
        () => semaphore.waiting,
      )
      held++
      try {
        hold(turns)
      } finally {
        held--
        semaphore.release()
      }
    },
    // Main takes one and gives it back later, in the same job or after some turns.
    main(n) {
      if (n > 5 || !semaphore.tryAcquire()) return
      held++
      const release = (): void => {
        held--
        semaphore.release()
      }
      if (n < 2) release()
      else setImmediate(release)
    },
    check() {
      assert.ok(held + semaphore.free <= permits)
      assert.ok(semaphore.free === 0 || semaphore.waiting === 0)
    },
    end() {
      assert.deepEqual([held, semaphore.free, semaphore.waiting], [0, permits, 0])
    },
  }
})

test('a lock has one owner, and goes on in order', explores, () => {
  const lock = new Lock({ reentrant: true })
  const order = new Order()
  let inside: Greenlet | undefined
  return {
    work(n, turns, signal) {
      order.through(
        () => lock.acquire({ signal }),
        () => lock.waiting,
      )
      try {
        assert.equal(inside, undefined)
        inside = Greenlet.current
        try {
          if (n % 2 === 0) lock.run(() => hold(turns), { signal })
          else hold(turns)
        } finally {
          assert.equal(inside, Greenlet.current)
          assert.equal(lock.owner, inside)
          inside = undefined
        }
      } finally {
        lock.release()
      }
    },
    main() {
      if (lock.tryAcquire()) lock.release()
    },
    check() {
      assert.ok(lock.locked || lock.waiting === 0)
    },
    end() {
      assert.deepEqual([inside, lock.locked, lock.waiting], [undefined, false, 0])
    },
  }
})

test('a condition loses no notification, and those that wait have the lock when they go on', explores, () => {
  const lock = new Lock({ reentrant: true })
  const changed = new Condition(lock)
  let [inside, items, finishing] = [0, 0, false]
  const within = (fn: () => void): void =>
    lock.run(() => {
      assert.equal(++inside, 1)
      try {
        fn()
      } finally {
        assert.equal(lock.owner, Greenlet.current)
        inside--
      }
    })
  const consume = (signal: AbortSignal): void => {
    while (items === 0 && !finishing) {
      inside--
      try {
        changed.wait({ signal })
      } finally {
        assert.equal(lock.owner, Greenlet.current)
        assert.equal(++inside, 1)
      }
    }
    items--
  }
  const produce = (turns: number): void => {
    hold(turns)
    items++
    changed.notify()
  }
  return {
    work(n, turns, signal) {
      within(() => {
        if (n < 7) lock.run(() => consume(signal))
        else produce(turns)
      })
    },
    main() {
      if (!lock.tryAcquire()) return
      items++
      changed.notify()
      lock.release()
    },
    calm() {
      if (lock.locked) return
      assert.ok(finishing || items <= 0 || changed.waiting === 0, `${items} items, ${changed.waiting} wait`)
    },
    finish() {
      if (lock.locked || lock.waiting > 0) return
      finishing = true
      if (lock.tryAcquire()) {
        changed.notifyAll()
        lock.release()
      }
    },
    end() {
      assert.deepEqual([inside, changed.waiting, lock.locked, lock.waiting], [0, 0, false, 0])
    },
  }
})

test('an event wakes all that waited when it was set', explores, () => {
  const event = new Event()
  return {
    work(_, turns, signal) {
      hold(turns)
      event.wait({ signal })
    },
    main(n) {
      event.set()
      assert.equal(event.waiting, 0)
      if (n % 2 === 0) event.clear()
    },
    check() {
      assert.ok(!event.isSet || event.waiting === 0)
    },
    finish: () => event.set(),
    end() {
      assert.equal(event.waiting, 0)
    },
  }
})

test('a queue loses no item, doubles none, and keeps the order', explores, () => {
  const max = 2
  const queue = new Queue<number>({ max })
  const [getters, putters] = [new Order(), new Order()]
  const added: number[] = []
  const taken: number[] = []
  let [next, closing] = [0, false]
  const unlessClosed = (use: () => void): void => {
    try {
      use()
    } catch (error) {
      if (!queue.closed || (error as { code?: unknown }).code !== 'ERR_GREENLET_CLOSED') throw error
    }
  }
  return {
    work(n, turns, signal) {
      const limits = { signal }
      const waitsForItem = (): number => queue.getting
      const waitsForPlace = (): number => queue.putting
      for (let left = turns; left >= 0; left--) {
        unlessClosed(() => {
          if (n % 2 === 0) {
            const item = next++
            putters.through(() => queue.put(item, limits), waitsForPlace)
            added.push(item)
          } else taken.push(getters.through(() => queue.get(limits), waitsForItem))
        })
        if (n > 6) wait(turn())
      }
    },
    main(n) {
      if (n === 11 && !closing) {
        closing = true
        queue.close()
      } else if (n % 2 === 0) {
        const item = next++
        if (queue.offer(item)) added.push(item)
      } else {
        const item = queue.poll()
        if (item !== undefined) taken.push(item)
      }
    },
    check() {
      assert.ok(queue.size <= max)
      assert.deepEqual(taken, added.slice(0, taken.length))
    },
    calm() {
      if (queue.closed) return
      assert.ok(queue.size === 0 || queue.getting === 0)
      assert.ok(queue.size === max || queue.putting === 0)
    },
    finish: () => queue.close(),
    end() {
      queue.close()
      for (const item of queue) taken.push(item)
      assert.deepEqual(taken, added)
      assert.deepEqual([queue.size, queue.getting, queue.putting], [0, 0, 0])
    },
  }
})

test('a pool runs no more than so many, and loses no place', explores, () => {
  const pool = new Pool(2)
  let running = 0
  const all: SpawnedGreenlet<unknown>[] = []
  const work = (turns: number): void => {
    assert.ok(++running <= pool.size)
    try {
      hold(turns)
      if (turns === 3) throw new Error('expected')
    } finally {
      running--
    }
  }
  const start = (turns: number): void => {
    const greenlet = pool.spawn(work, turns)
    greenlet.catch((error: unknown) =>
      assert.ok(isExpected(error) || String(error) === 'Error: expected', String(error)),
    )
    all.push(greenlet)
  }
  return {
    work(n, turns) {
      if (n < 8) start(turns)
      else if (n === 8) pool.join()
      else if (n === 9) assert.equal(pool.map([0, 1, 2], (m) => (hold(m), m)).join(), '0,1,2')
      else for (const m of pool.imap([2, 1, 0], (m) => (hold(m), m))) if (m === turns) break
    },
    main(n, turns) {
      if (n === 0) pool.kill()
      else if (n > 7) all.at(n - 12)?.kill()
      else if (pool.free > 0) start(turns)
    },
    check() {
      assert.ok(pool.living.length <= pool.size)
      assert.ok(pool.free === 0 || pool.waiting === 0)
    },
    end() {
      all.forEach((greenlet) => greenlet.kill())
    },
  }
})

test('no child outlives its group, and no error is lost', explores, () => {
  const children: SpawnedGreenlet<unknown>[] = []
  return {
    work(n, m, signal) {
      const mine: SpawnedGreenlet<unknown>[] = []
      const thrown: Error[] = []
      const child = (turns: number): void => {
        try {
          hold(turns)
          if (turns === n) {
            const error = new Error(`of a child after ${turns} turns`)
            thrown.push(error)
            throw error
          }
          if (turns === 5) wait(new Promise(() => {}))
        } finally {
          // Cleanup that waits.
          if (turns === 2 && n > 8) hold(1)
        }
      }
      let error: unknown
      try {
        group((g) => {
          for (let turns = 0; turns <= m + 2; turns++) mine.push(g.spawn(child, turns))
          children.push(...mine)
          if (n === 7) mine[1]!.kill()
          wait(turn(), { signal })
          hold(m)
        })
      } catch (e) {
        error = e
      }
      const errors = error instanceof AggregateError ? error.errors : [error]
      for (const one of thrown) assert.ok(errors.includes(one), `lost: ${one}`)
      for (const one of errors)
        assert.ok(one === undefined || thrown.includes(one as Error) || isExpected(one), String(one))
      if (!mine.every((one) => one.dead)) {
        // Only where it was interrupted twice.
        assert.ok(n > 8)
      }
    },
    main(n) {
      const child = children.at(-1 - n)
      if (child !== undefined) kill(child)
    },
    finish() {
      for (const one of children) if (!one.dead && one.gr_stack.length > 0) one.interrupt(INTERRUPTION)
    },
    end() {
      assert.ok(children.every((one) => one.dead))
    },
  }
})
