// What node-fibers could not do: AsyncLocalStorage, async hooks, Workers, wasm, many fibers.

import { AsyncLocalStorage, AsyncResource, executionAsyncId } from 'node:async_hooks'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import Fiber, { greenletOf } from '../../js/fibers/index.ts'
import Future from '../../js/fibers/future.ts'
import { Greenlet } from '../../js/index.ts'
import { Event } from '../../js/tools/index.ts'
import { runProgram } from '../helpers/program.ts'

test('a fiber has the stores of its first run(), whichever code resumes it', (t) => {
  const storage = new AsyncLocalStorage<string>()
  const fiber = Fiber(() => {
    const seen = [storage.getStore()]
    Fiber.yield()
    seen.push(storage.getStore())
    seen.push(storage.run('inner', () => Fiber.yield() as string) + storage.getStore())
    return seen
  })
  storage.run('first', () => fiber.run())
  t.is(
    storage.run('second', () => {
      fiber.run()
      return storage.getStore()
    }),
    'second',
  )
  t.deepEqual(fiber.run('value '), ['first', 'first', 'value first'])
  // Each start is a new fiber.
  storage.run('again', () => fiber.run())
  fiber.run()
  t.deepEqual(fiber.run(''), ['again', 'again', 'again'])
})

test('in a pool of fibers, AsyncResource.bind() gives each job its own stores', (t) => {
  const storage = new AsyncLocalStorage<number>()
  const seen: unknown[] = []
  const worker = Fiber(() => {
    for (;;) (Fiber.yield<() => void>() as () => void)()
  })
  worker.run()
  for (const [i, bound] of [false, true].entries()) {
    const job = (): unknown => seen.push(storage.getStore())
    storage.run(i, () => worker.run(bound ? AsyncResource.bind(job) : job))
  }
  t.deepEqual(seen, [undefined, 1])
  worker.reset()
})

test('fibers that yield inside of runInAsyncScope() may be resumed in any order', (t) => {
  const ids = new Map<Fiber, number>()
  const fibers = Array.from({ length: 5 }, () =>
    Fiber(() =>
      new AsyncResource('TEST').runInAsyncScope(() => {
        const id = executionAsyncId()
        ids.set(Fiber.current!, id)
        Fiber.yield()
        return executionAsyncId() === id
      }),
    ),
  )
  const before = executionAsyncId()
  for (const fiber of fibers) fiber.run()
  t.is(new Set(ids.values()).size, 5)
  t.deepEqual(
    [3, 0, 4, 1, 2].map((i) => fibers[i]!.run()),
    [true, true, true, true, true],
  )
  t.is(executionAsyncId(), before)
})

test('tools of greenlets work in fibers, and futures in greenlets of fibers', async (t) => {
  const event = new Event()
  const future = Future.task(() => {
    event.wait()
    return 'woken'
  })
  setTimeout(() => event.set(), 1)
  t.is(await future.promise(), 'woken')
})

test('fetch() in a fiber, by fromPromise()', async (t) => {
  const future = Future.task(() => {
    const response = Future.fromPromise(fetch('data:text/plain,hello')).wait()
    return Future.fromPromise(response.text()).wait()
  })
  t.is(await future.promise(), 'hello')
})

test('a yield in a function that wasm calls', (t) => {
  // (module (import "m" "f" (func (result i32))) (func (export "g") (result i32) call 0))
  const bytes = new Uint8Array([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 127, 2, 7, 1, 1, 109, 1, 102, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 103, 0,
    1, 10, 6, 1, 4, 0, 16, 0, 11,
  ])
  const module = new WebAssembly.Module(bytes)
  const instance = new WebAssembly.Instance(module, { m: { f: () => Fiber.yield('from wasm') } })
  const fiber = Fiber(instance.exports['g'] as () => number)
  t.is(fiber.run(), 'from wasm')
  t.is(fiber.run(42), 42)
})

test('each Worker has its own fibers, and a Fiber cannot be sent to one', async (t) => {
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads')
     import(${JSON.stringify(new URL('../../dist/fibers/index.js', import.meta.url).href)}).then(({ default: Fiber }) => {
       const fiber = Fiber(() => [Fiber.yield(1), 2])
       parentPort.postMessage([fiber.run(), ...fiber.run(3)])
     })`,
    { eval: true, execArgv: [] },
  )
  const [message] = (await once(worker, 'message')) as unknown[]
  t.deepEqual(message, [1, 3, 2])
  await worker.terminate()
  const copy = structuredClone(Fiber(() => {})) as Fiber
  t.throws(() => Fiber.prototype.run.call(copy), { instanceOf: TypeError })
})

test('50,000 fibers can be suspended at once, and dumps show them by name', async (t) => {
  const { code, stdout, stderr } = await runProgram(`
    const { Fiber, greenletOf } = await import('./js/fibers/index.ts')
    const fibers = Array.from({ length: 50_000 }, (_, i) => Fiber(function job() { return Fiber.yield(i) + 1 }))
    let sum = 0
    for (const fiber of fibers) sum += fiber.run()
    console.log(sum, Greenlet.all().length)
    console.log(greenletOf(fibers[40_000]).gr_stack.toString().split('\\n').length)
    for (const fiber of fibers) sum -= fiber.run(0)
    console.log(sum, Greenlet.all().length)`)
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '1249975000 50001\n1\n1249925000 1\n', stderr: '' })
})

test('limits of configure() are a RangeError "Out of memory", and nothing has changed', async (t) => {
  const { code, stdout, stderr } = await runProgram(`
    const { Fiber } = await import('./js/fibers/index.ts')
    configure({ maxGreenlets: 2 })
    const [a, b, c] = [1, 2, 3].map((x) => Fiber(() => Fiber.yield(x)))
    a.run(), b.run()
    try { c.run() } catch (error) { console.log(String(error), error.constructor === RangeError, c.started) }
    console.log(a.run('a'), c.run(), c.run('c'), b.run('b'), Greenlet.all().length)`)
  t.deepEqual(
    { code, stdout, stderr },
    { code: 0, stdout: 'RangeError: Out of memory true false\na 3 c b 1\n', stderr: '' },
  )
})

test('the greenlet of a fiber has the context and the name of the fiber', (t) => {
  const fiber = Fiber(function named() {
    Fiber.yield()
  })
  fiber.run()
  const greenlet = greenletOf(fiber)!
  t.is(greenlet.name, 'named')
  t.true(greenlet instanceof Greenlet)
  t.true(greenlet.gr_context instanceof AsyncResource)
  t.is(greenlet.toString(), "<Greenlet 'named' suspended active started>")
  fiber.run()
})
