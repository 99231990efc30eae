import { inspect } from 'node:util'
import { isPromise } from 'node:util/types'
import test from 'ava'
import express from 'express'
import { Greenlet, GreenletError, GreenletExit, sleep, spawn, wait } from '../js/index.ts'
import { runProgram } from './helpers/program.ts'
import { later, turn } from './helpers/promises.ts'
import { warningsOf } from './helpers/warnings.ts'

const { main } = Greenlet

test('spawn() returns a greenlet that the event loop starts', async (t) => {
  const log: string[] = []
  const g = spawn((x: string) => void log.push(x), 'started')
  t.true(g instanceof Greenlet)
  t.is(g.parent, main)
  t.is(g.state, 'unstarted')
  await Promise.resolve()
  t.deepEqual(log, [])
  await turn()
  t.deepEqual(log, ['started'])
  t.true(g.dead)
})

test('the parent of a spawned greenlet is main, wherever it was made', (t) => {
  const g = new Greenlet(() => spawn(() => {}).parent === main)
  t.true(g.switch())
})

test('await gives the result of the function', async (t) => {
  t.is(await spawn((a: number, b: number) => a + b, 1, 2), 3)
  t.is(await spawn(async (x: string) => x, 'of an async function'), 'of an async function')
  const g = spawn(() => 'twice')
  t.deepEqual(await Promise.all([g, g]), ['twice', 'twice'])
  t.is(await g, 'twice')
})

test('await throws the error of the function, the same object', async (t) => {
  const error = new Error('failed')
  const g = spawn(() => {
    throw error
  })
  t.is(await t.throwsAsync(async () => void (await g)), error)
  t.true(g.dead)
})

test('a spawned greenlet that a GreenletExit has ended is rejected with ERR_GREENLET_KILLED', async (t) => {
  const isKilled = async (g: Greenlet & PromiseLike<unknown>, exit?: GreenletExit) => {
    const error = await t.throwsAsync(async () => void (await g), {
      instanceOf: GreenletError,
      code: 'ERR_GREENLET_KILLED',
    })
    t.true(error.message.includes(`greenlet '${g.name}' was ended`))
    t.true(error.cause instanceof GreenletExit)
    if (exit !== undefined) t.is(error.cause, exit)
    t.true(g.dead)
  }
  const waits = spawn(() => sleep(10_000))
  await turn()
  waits.kill()
  await isKilled(waits)

  const early = spawn(() => t.fail())
  early.kill()
  await isKilled(early)

  class Enough extends GreenletExit {}
  const exit = new Enough()
  await isKilled(
    spawn(() => {
      throw exit
    }),
    exit,
  )
  await isKilled(
    spawn(async () => {
      await Promise.resolve()
      throw exit
    }),
    exit,
  )
  const thrown = spawn(() => main.switch())
  await turn()
  thrown.throw(exit)
  await isKilled(thrown, exit)
})

test('an exit that the function returns is a result', async (t) => {
  const exit = new GreenletExit()
  t.is(await spawn(() => exit), exit)
  t.is(await spawn(async () => exit), exit)
})

test('wait() and join() of a killed greenlet throw ERR_GREENLET_KILLED, the same error, and the waiter goes on', async (t) => {
  const killed = spawn(() => sleep(10_000))
  const errors: unknown[] = []
  const waiters = [() => wait(killed), () => killed.join(), () => wait(killed.promise)].map((block) =>
    spawn(() => {
      errors.push(t.throws(block, { instanceOf: GreenletError, code: 'ERR_GREENLET_KILLED' }))
      return 'went on'
    }),
  )
  await turn()
  killed.kill()
  t.deepEqual(await Promise.all(waiters), ['went on', 'went on', 'went on'])
  t.is(new Set(errors).size, 1)
  const uncaught = spawn(() => killed.join())
  t.is(await t.throwsAsync(async () => uncaught), errors[0] as Error)
})

test('what spawn() gives is a promise and a greenlet', async (t) => {
  const g = spawn(() => 'result')
  t.true(g instanceof Promise)
  t.true(g instanceof Greenlet)
  t.true(isPromise(g))
  t.is(Object.prototype.toString.call(g), '[object Promise]')
  t.regex(inspect(g), /^<SpawnedGreenlet 'greenlet-\d+' pending>$/)
  for (const derived of [g.then((result) => result), g.catch(() => undefined), g.finally(() => undefined), g.promise]) {
    t.is(derived.constructor, Promise)
    t.is(await derived, 'result')
  }
  t.is(g.promise, g.promise)
  // Functions that V8 and Node took before the program could change anything see the result too.
  t.is(await Reflect.apply(Promise.prototype.then, g, []), 'result')
  t.is(await new Promise((resolve) => void Promise.prototype.finally.call(g, () => resolve('settled'))), 'settled')
  const members = Object.getOwnPropertyNames(Greenlet.prototype).filter((name) => name !== 'constructor')
  t.deepEqual(
    members.filter((name) => !(name in g)),
    [],
  )
  const failing = spawn(() => {
    throw new Error('failed')
  })
  t.is(await failing.catch((error) => (error as Error).message), 'failed')
})

test('only greenlets are instances of Greenlet, and only those of a subclass are instances of that', (t) => {
  class Own extends Greenlet {}
  const spawned = spawn(() => 1)
  const own = new Own(() => 1)
  t.false(spawned instanceof Own)
  t.true(own instanceof Own)
  t.true(own instanceof Greenlet)
  t.false(own instanceof Promise)
  for (const other of [Promise.resolve(), {}, null, 1, undefined]) t.false((other as object) instanceof Greenlet)
  t.throws(() => Greenlet.prototype.kill.call(Promise.resolve() as never), { instanceOf: TypeError })
})

test('a killed greenlet that no code awaits is not an unhandled rejection; code that awaits it and fails is', async (t) => {
  const { code, stdout, stderr } = await runProgram(`
    process.on('unhandledRejection', (error, promise) => console.log('unhandled', error.code, promise === derived))
    const kill = (g) => { setTimeout(() => g.kill(), 5); return g }
    kill(spawn(() => sleep(10_000)))
    kill(spawn(async () => { sleep(10_000) }))
    kill(spawn(() => sleep(10_000))).promise
    const late = kill(spawn(() => sleep(10_000)))
    spawn(() => 1).kill()
    const derived = kill(spawn(() => sleep(10_000))).then(() => 'not reached')
    setTimeout(() => { late.promise; console.log('done') }, 50)
  `)
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'unhandled ERR_GREENLET_KILLED true\ndone\n', stderr: '' })
})

test('Express takes what spawn() gives for a promise, without a warning', async (t) => {
  const app = express()
  app.get('/', (_, res) => spawn(() => void res.end(wait(later('answer')))))
  app.get('/fails', () =>
    spawn(() => {
      wait(later(''))
      throw new Error('failed')
    }),
  )
  const failed: express.ErrorRequestHandler = (error: Error, _, res, _next) => void res.end(error.message)
  app.use(failed)
  const server = app.listen(0)
  const { port } = server.address() as { port: number }
  const warnings = await warningsOf(async () => {
    const get = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).text()
    t.is(await get('/'), 'answer')
    t.is(await get('/fails'), 'failed')
  })
  t.deepEqual(warnings, [])
  server.close()
})

test('an error that is thrown into a spawned greenlet before it starts is its result', async (t) => {
  const error = new Error('early')
  const g = spawn(() => t.fail())
  t.is(g.throw(error), undefined)
  t.is(await t.throwsAsync(async () => void (await g)), error)
})

test('a switch may start a spawned greenlet before the event loop does', async (t) => {
  let runs = 0
  const g = spawn((x: string) => x + ++runs, 'run ')
  t.is(g.switch('ignored'), undefined)
  await turn()
  t.is(await g, 'run 1')
})

test('the name of a spawned greenlet is the name of its function', (t) => {
  t.is(spawn(function job() {}).name, 'job')
  t.regex(spawn(() => {}).name, /^greenlet-\d+$/)
})

test('a failure that no code awaits is an unhandled rejection', async (t) => {
  const { code, stderr, stdout } = await runProgram(`
    process.on('exit', () => console.log('exits'))
    spawn(() => { sleep(1); throw new RangeError('not awaited') })
  `)
  t.is(code, 1)
  t.regex(stderr, /RangeError: not awaited/)
  t.is(stdout, 'exits\n')
})

test('listeners for unhandledRejection get the error', async (t) => {
  const { code, stdout } = await runProgram(`
    process.on('unhandledRejection', (error) => console.log('unhandled', error.message))
    spawn(() => { throw new Error('first') })
    spawn(() => { wait(Promise.reject(new Error('second'))) })
    spawn(() => { sleep(5); console.log('others go on') })
  `)
  t.is(code, 0)
  t.deepEqual(stdout.trim().split('\n').toSorted(), ['others go on', 'unhandled first', 'unhandled second'])
})

test('spawned greenlets over the limit fail with its error, and the others run', async (t) => {
  const { code, stdout, stderr } = await runProgram(`
    const slots = 100
    configure({ maxGreenlets: slots })
    const all = Array.from({ length: slots + 10 }, (_, i) => spawn(() => { sleep(50); return i }))
    const results = await Promise.allSettled(all)
    const failed = results.filter((result) => result.status === 'rejected')
    console.log(results.length - failed.length === slots, failed.length)
    console.log(failed[0].reason instanceof GreenletError, failed[0].reason.code)
    console.log(await spawn(() => { sleep(1); return 'and again' }))
  `)
  t.deepEqual(
    { code, stdout, stderr },
    { code: 0, stdout: 'true 10\ntrue ERR_GREENLET_LIMIT\nand again\n', stderr: '' },
  )
})

test('a thousand spawned greenlets wait for each other', async (t) => {
  const first = spawn(() => 0)
  let last = first
  for (let i = 0; i < 900; i++) {
    const before = last
    last = spawn(() => wait(before) + 1)
  }
  t.is(await last, 900)
})

test('join() blocks the calling greenlet until the other one has ended', async (t) => {
  const worker = spawn((x: number) => {
    sleep(5)
    if (x < 0) throw new Error('negative')
    return x * 2
  }, 21)
  const failing = spawn(() => {
    throw new Error('negative')
  })
  const result = await spawn(() => {
    t.throws(() => failing.join(), { message: 'negative' })
    return [worker.dead, worker.join(), worker.dead, worker.join()]
  })
  t.deepEqual(result, [false, 42, true, 42])
  t.throws(() => worker.join(), { code: 'ERR_GREENLET_WAIT_ON_MAIN' })
  const own = spawn((): unknown => own.join())
  await t.throwsAsync(async () => own, { code: 'ERR_GREENLET_WAIT_ON_SELF' })
})

test('a thenable that rejects with a GreenletExit is no result either', async (t) => {
  const killed = { instanceOf: GreenletError, code: 'ERR_GREENLET_KILLED' } as const
  const thenable = () => ({
    // oxlint-disable-next-line no-thenable -- what the test is about
    then: (_: unknown, reject: (reason: unknown) => void) => reject(new GreenletExit()),
  })
  await t.throwsAsync(async () => spawn(thenable), killed)
  const inner = spawn(thenable)
  await t.throwsAsync(async () => spawn(() => inner.join()), killed)
})

test('a greenlet that returns itself rejects, as every promise does', async (t) => {
  const g: Promise<unknown> = spawn(() => g)
  await t.throwsAsync(() => g, { instanceOf: TypeError, message: /cycle/ })
})
