// kill(), called inside a greenlet, of one that catches the exit and waits while it cleans up. As on main, kill() returns at once.

import test from 'ava'
import { Greenlet, sleep, spawn, wait } from '../js/index.ts'

const turns = async (count: number): Promise<void> => {
  for (; count > 0; count--) await new Promise(setImmediate)
}

/** Whether the greenlet has ended after `kill()`, called inside of a new greenlet. */
function killInside(victim: Greenlet): PromiseLike<unknown> {
  return spawn(() => {
    victim.kill()
    return victim.dead ? 'killed' : 'ending'
  })
}

for (const [what, block] of [
  ['sleeps', () => sleep(5)],
  ['waits for a promise', () => wait(turns(3))],
  ['waits for a child', () => spawn(() => sleep(5)).join()],
] as const) {
  test(`kill() inside of a greenlet returns if the killed one ${what} again`, async (t) => {
    const log: string[] = []
    const stubborn = spawn(() => {
      try {
        sleep(10_000)
      } catch {
        block()
        log.push('cleaned up')
      }
      return 'result'
    })
    await turns(2)
    t.is(await killInside(stubborn), 'ending')
    t.deepEqual(log, [])
    t.is(await stubborn, 'result')
    t.deepEqual(log, ['cleaned up'])
  })
}

test('kill() inside of a greenlet returns if a finally block waits', async (t) => {
  const victim = spawn(() => {
    try {
      sleep(10_000)
    } finally {
      sleep(5)
    }
  })
  await turns(2)
  t.is(await killInside(victim), 'ending')
  await t.throwsAsync(victim, { code: 'ERR_GREENLET_KILLED' })
  t.true(victim.dead)
})

test('the next kill() ends it, and a greenlet that ends at once is killed', async (t) => {
  const victim = spawn(() => {
    try {
      sleep(10_000)
    } catch {
      sleep(10_000)
    }
  })
  await turns(2)
  t.is(await killInside(victim), 'ending')
  t.false(victim.dead)
  t.is(await killInside(victim), 'killed')
  t.true(victim.dead)
})

test('greenlets that kill each other in a row each get the result of their own kill()', async (t) => {
  const log: unknown[] = []
  const make = (name: string, next?: Greenlet): Greenlet =>
    spawn(() => {
      try {
        sleep(10_000)
      } catch {
        next?.kill()
        log.push(`${name} goes on${next?.dead === false ? ', next is ending' : ''}`)
        sleep(3)
        log.push(`${name} ends`)
      }
    })
  const last = make('last')
  const middle = make('middle', last)
  await turns(2)
  t.is(await killInside(middle), 'ending')
  t.deepEqual(log, ['last goes on', 'middle goes on, next is ending'])
  await Promise.all([last, middle])
  t.deepEqual(log.slice(2).sort(), ['last ends', 'middle ends'])
})

test('main is not resumed by a kill() inside of a greenlet', async (t) => {
  const victim = spawn(() => {
    try {
      sleep(10_000)
    } catch {
      sleep(5)
    }
  })
  await turns(2)
  let came = false
  const killer = new Greenlet(() => {
    victim.kill()
    came = true
    return 'done'
  })
  t.is(killer.switch(), 'done')
  t.true(came)
  await victim
})
