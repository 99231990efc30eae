// Greenlet.killAll(). It ends all greenlets of the thread, so the tests run one after another.

import ava from 'ava'
import { Greenlet, sleep, spawn, wait } from '../js/index.ts'
import { printed, runProgram } from './helpers/program.ts'

const test = ava.serial
const { main } = Greenlet
const turn = (): Promise<void> => new Promise(setImmediate)
const codes = (errors: readonly unknown[]): unknown[] => errors.map((error) => (error as { code?: unknown }).code)

test('killAll() ends unstarted, suspended and waiting greenlets, the latest first', async (t) => {
  const log: string[] = []
  const parked = (name: string, park: () => unknown) => (): void => {
    try {
      park()
    } finally {
      log.push(name)
    }
  }
  new Greenlet(parked('switched', () => main.switch())).switch()
  new Greenlet(parked('sleeping', () => sleep(1e6))).switch()
  const unstarted = new Greenlet(() => log.push('never'))
  const spawned = spawn(() => log.push('never'))
  const errors = Greenlet.killAll()
  t.deepEqual(log, ['sleeping', 'switched'])
  t.true(unstarted.dead)
  t.deepEqual(await errors, [])
  t.deepEqual(Greenlet.all(), [main])
  await t.throwsAsync(spawned, { code: 'ERR_GREENLET_KILLED' })
})

test('it collects errors, also those of greenlets that end later, and never throws', async (t) => {
  const [atOnce, later] = [new Error('at once'), new Error('later')]
  for (const [error, ms] of [
    [atOnce, 0],
    [later, 5],
  ] as const) {
    new Greenlet(() => {
      try {
        main.switch()
      } finally {
        if (ms > 0) sleep(ms)
        // oxlint-disable-next-line no-unsafe-finally -- this is what the test is about
        throw error
      }
    }).switch()
  }
  const log: string[] = []
  new Greenlet(() => {
    try {
      main.switch()
    } finally {
      log.push('ended')
    }
  }).switch()
  t.deepEqual(await Greenlet.killAll({ grace: 60_000 }), [atOnce, later])
  t.deepEqual(log, ['ended'])
})

test('it ends the greenlets that cleanups make', async (t) => {
  let made = 0
  const body = (): void => {
    try {
      sleep(1e6)
    } finally {
      // The first is made when the kills are over, and runs when it is found.
      wait(turn())
      if (++made < 4) spawn(body)
      wait(turn())
    }
  }
  const g = spawn(body)
  g.then(undefined, () => {})
  await turn()
  t.deepEqual(await Greenlet.killAll({ grace: 60_000 }), [])
  t.deepEqual(Greenlet.all(), [main])
  t.true(made > 1, String(made))
})

test('in a greenlet it waits for those that are ending, and spares the caller', async (t) => {
  const log: string[] = []
  const victim = spawn(() => {
    try {
      sleep(1e6)
    } finally {
      sleep(10)
      log.push('cleaned up')
    }
  })
  await turn()
  const errors = await spawn(() => {
    const found = Greenlet.killAll({ grace: 60_000 })
    log.push('returned')
    sleep(1)
    return found
  })
  t.deepEqual(errors, [])
  t.deepEqual(log, ['cleaned up', 'returned'])
  t.true(victim.dead)
})

test('it does not interrupt the cleanup of a greenlet that was killed before', async (t) => {
  const log: string[] = []
  const cleaning = (ms: number): Greenlet =>
    spawn(() => {
      try {
        sleep(1e6)
      } finally {
        sleep(ms)
        log.push(`${ms} ms`)
      }
    })
  const [short, long] = [cleaning(10), cleaning(1e6)]
  await turn()
  t.false(short.ending)
  short.kill()
  long.kill()
  t.true(short.ending)
  t.deepEqual(await Greenlet.killAll({ grace: 200 }), [])
  t.deepEqual(log, ['10 ms'])
  t.true(long.dead, 'it is killed again when the grace is over')
  t.false(long.ending)
})

test('what is alive after the grace is in the list, with its name', async (t) => {
  let stop = false
  const stubborn = new Greenlet(
    () => {
      while (!stop) {
        try {
          main.switch()
        } catch {}
      }
    },
    { name: 'stubborn' },
  )
  stubborn.switch()
  const slow = spawn(() => {
    try {
      sleep(1e6)
    } finally {
      sleep(1e6)
    }
  })
  slow.name = 'slow'
  await turn()
  const errors = (await Greenlet.killAll({ grace: 30 })) as Error[]
  t.deepEqual(codes(errors), ['ERR_GREENLET_KILL_REFUSED', 'ERR_GREENLET_KILL_REFUSED'])
  t.regex(errors.join('\n'), /'slow' is still alive 30 ms after killAll\(\)[^]*'stubborn' is still alive/)
  const inside = await spawn(() => Greenlet.killAll({ grace: 0 }))
  t.deepEqual(codes(inside), ['ERR_GREENLET_KILL_REFUSED'], 'the second exit has ended the cleanup')
  stop = true
  t.deepEqual(await Greenlet.killAll(), [])
})

test('its options are checked', (t) => {
  const expected = { code: 'ERR_GREENLET_INVALID_ARG' }
  t.throws(() => Greenlet.killAll({ gracee: 1 } as never), {
    ...expected,
    message: /no option 'gracee'; it has grace/,
  })
  for (const grace of ['1', NaN, null, -1, 2 ** 31]) t.throws(() => Greenlet.killAll({ grace } as never), expected)
  t.throws(() => Greenlet.killAll(5 as never), expected)
})

test("in a handler of 'exit' it ends greenlets without waiting", async (t) => {
  t.deepEqual(
    await runProgram(`
      process.on('exit', () => {
        Greenlet.killAll()
        console.log('handler done')
      })
      const park = () => {
        try {
          sleep(1e6)
        } finally {
          console.log('finally')
          sleep(1e6)
        }
      }
      spawn(park)
      spawn(() => {
        sleep(5)
        process.exit()
      })`),
    printed('finally\nhandler done\n'),
  )
})
