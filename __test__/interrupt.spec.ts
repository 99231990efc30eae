// `interrupt()`: an error in the next turn, for a greenlet that waits.

import test from 'ava'
import { Greenlet, GreenletExit, sleep, spawn, wait } from '../js/index.ts'
import { printed, runProgram } from './helpers/program.ts'
import { later, pending, turn } from './helpers/promises.ts'

/** A greenlet that calls `block`, and returns the error that comes out. */
function catching(block: () => unknown) {
  return spawn(() => {
    try {
      return block()
    } catch (error) {
      return error
    }
  })
}

test('interrupt() throws the error in wait(), sleep() and join(), in the next turn', async (t) => {
  const blocked = spawn(() => wait(pending().promise))
  for (const block of [() => wait(pending().promise), () => sleep(60_000), () => blocked.join()]) {
    const error = new Error('interrupted')
    const log: unknown[] = []
    const g = catching(block)
    void g.then((result) => log.push(result))
    await turn()
    t.true(g.interrupt(error))
    t.is(g.state, 'suspended')
    await Promise.resolve()
    t.deepEqual(log, [])
    t.is(await g, error)
  }
  blocked.kill()
})

test('interrupt() returns false where nothing waits, and never throws', async (t) => {
  const error = new Error('not thrown')
  const unstarted = new Greenlet(() => {})
  const suspended = new Greenlet(() => Greenlet.main.switch())
  suspended.switch()
  const dead = new Greenlet(() => {})
  dead.switch()
  for (const g of [unstarted, suspended, dead, Greenlet.main]) t.false(g.interrupt(error), String(g))
  t.false(await spawn(() => Greenlet.current.interrupt(error)))
  t.false(await spawn(() => Greenlet.main.interrupt(error)))
  await turn()
  t.deepEqual([unstarted.state, suspended.state], ['unstarted', 'suspended'])
  suspended.kill()
})

test('the first that ends a wait wins: a promise that is settled later is ignored', async (t) => {
  const { promise, resolve } = pending<string>()
  const g = catching(() => wait(promise))
  await turn()
  t.true(g.interrupt('interrupted'))
  resolve('too late')
  t.false(g.interrupt('again'))
  t.is(await g, 'interrupted')
})

test('an interrupt is for the wait that the greenlet is in', async (t) => {
  const { promise, resolve } = pending<string>()
  const log: unknown[] = []
  const g = spawn((): unknown => {
    log.push(wait(promise))
    return wait(later('second wait'))
  })
  await turn()
  resolve('value')
  // The callback of the wait is called before the code after this `await`.
  await promise
  t.true(g.interrupt(new Error('for the second wait')))
  await t.throwsAsync(g, { message: 'for the second wait' })
  t.deepEqual(log, ['value'])
})

test('interrupt() does not reach a later wait when the interrupted one was ended by kill()', async (t) => {
  const g = spawn(() => {
    try {
      wait(pending().promise)
    } catch {
      wait(later('cleaned up'))
    }
    return 'done'
  })
  await turn()
  t.true(g.interrupt(new Error('dropped')))
  try {
    g.kill()
  } catch {
    // It waits in its cleanup.
  }
  t.is(await g, 'done')
})

test('an interrupted greenlet that gets the error of a child goes on with that', async (t) => {
  const g = catching(() => wait(pending().promise))
  await turn()
  t.true(g.interrupt(new Error('dropped')))
  const child = new Greenlet(
    () => {
      throw new Error('of the child')
    },
    { parent: g },
  )
  child.switch()
  t.is(((await g) as Error).message, 'of the child')
})

test('interrupt() works in greenlets, callbacks, timers and abort listeners, and its caller goes on', async (t) => {
  const controller = new AbortController()
  const places: ((call: () => void) => void)[] = [
    (call) => void spawn(call),
    (call) => void setTimeout(call, 1),
    (call) => void process.nextTick(call),
    (call) => void Promise.resolve().then(call),
    (call) => {
      controller.signal.addEventListener('abort', call)
      controller.abort()
    },
  ]
  for (const [i, place] of places.entries()) {
    const log: string[] = []
    const g = spawn(() => {
      try {
        sleep(60_000)
      } catch (error) {
        log.push(`thrown ${error as string}`)
      }
    })
    await turn()
    place(() => {
      log.push(`${g.interrupt(i)}`)
      log.push('goes on')
    })
    await g
    t.deepEqual(log, ['true', 'goes on', `thrown ${i}`])
  }
})

test('an interrupt with a GreenletExit ends the greenlet quietly', async (t) => {
  const g = new Greenlet(() => wait(pending().promise))
  g.switch()
  t.true(g.interrupt(new GreenletExit()))
  await turn()
  await turn()
  t.true(g.dead)
})

test('the stack of an interrupting error tells the wait', async (t) => {
  const g = spawn(function reader() {
    wait(pending().promise)
  })
  g.name = 'the reader'
  await turn()
  g.interrupt(new Error('enough'))
  const error = await t.throwsAsync(g)
  t.regex(error.stack!, /at reader .*\n\s+at \[in greenlet "the reader"\]/s)
})

test('a greenlet that was interrupted waits for the same promise again', async (t) => {
  const { promise, resolve } = pending<string>()
  const g = spawn(() => {
    for (;;) {
      try {
        return wait(promise)
      } catch (error) {
        log.push(error)
      }
    }
  })
  const log: unknown[] = []
  await turn()
  for (let i = 0; i < 5; i++) {
    t.true(g.interrupt(i))
    await turn()
    await turn()
  }
  resolve('at last')
  t.is(await g, 'at last')
  t.deepEqual(log, [0, 1, 2, 3, 4])
})

test('an interrupt keeps the process alive until it is thrown, and an uncaught one ends it', async (t) => {
  const { code, stdout, stderr } = await runProgram(`
    const g = new Greenlet(() => wait(new Promise(() => {})))
    g.switch()
    process.on('exit', () => console.log(g.dead))
    g.interrupt(new RangeError('of the interrupt'))`)
  t.deepEqual([code, stdout], [1, 'true\n'])
  t.regex(stderr, /RangeError: of the interrupt/)
  const caught = await runProgram(`
    const g = new Greenlet(() => { try { wait(new Promise(() => {})) } catch (e) { console.log(e) } })
    g.switch()
    g.interrupt('caught')`)
  t.deepEqual(caught, printed('caught\n'))
})
