import test from 'ava'
import { Greenlet, GreenletExit, sleep, spawn, wait } from '../js/index.ts'
import { runProgram } from './helpers/program.ts'
import { turn } from './helpers/promises.ts'

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

test('a GreenletExit ends a spawned greenlet quietly, and is its result', async (t) => {
  const g = spawn(() => sleep(10_000))
  await turn()
  g.kill()
  t.true(((await g) as unknown) instanceof GreenletExit)
  const early = spawn(() => t.fail())
  early.kill()
  t.true(((await early) as unknown) instanceof GreenletExit)
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
