// How fibers end that are unreachable, that throw, or whose process ends. Each needs a process of its own.

import test from 'ava'
import { runProgram } from '../helpers/program.ts'

const BEFORE = "const { Fiber, greenletOf } = await import('./js/fibers/index.ts')\n"

/** A macro: the program prints this and ends well. */
const prints = test.macro(async (t, source: string, stdout: string, flags: readonly string[] = []) => {
  const { code, stdout: found, stderr } = await runProgram(BEFORE + source, { flags })
  t.deepEqual({ code, stdout: found, stderr }, { code: 0, stdout, stderr: '' })
})

test(
  'fibers that are unreachable are unwound by the next run(), and their own properties are there',
  prints,
  `
  let [cleaned, kept, zombies] = [0, 0, 0]
  const drop = (i) => {
    const fiber = Fiber(() => {
      try {
        Fiber.yield()
        Fiber.yield()
      } catch (error) {
        if (String(error) === 'Error: This Fiber is a zombie') zombies++
        throw error
      } finally {
        cleaned++
        const { current } = Fiber
        if (current.job === i && !('old' in current) && current instanceof Fiber) kept++
      }
    })
    fiber.old = i
    fiber.run()
    delete fiber.old
    fiber.job = i
    fiber.run()
  }
  for (let i = 0; i < 2000; i++) drop(i)
  const idle = Fiber(() => { for (;;) Fiber.yield() })
  for (let tries = 0; tries < 50 && cleaned < 2000; tries++) {
    await new Promise((resolve) => setImmediate(resolve))
    gc()
    idle.run()
  }
  console.log(cleaned, kept, zombies)
  `,
  '2000 2000 2000\n',
  ['--expose-gc'],
)

test(
  'a getter among the own properties of a fiber is never called, and outlives the object',
  prints,
  `
  let [calls, found] = [0, '']
  const make = () => {
    const fiber = Fiber(() => {
      try {
        for (;;) Fiber.yield()
      } finally {
        const { get, set } = Object.getOwnPropertyDescriptor(Fiber.current, 'state')
        found = [get.name, set.name, Fiber.current.plain, Object.keys(Fiber.current)].join()
      }
    })
    Object.defineProperty(fiber, 'state', { get: function read() { calls++ }, set: function write() { calls++ }, enumerable: true, configurable: true })
    fiber.plain = 'data'
    Object.defineProperty(Object.getPrototypeOf(fiber), 'plain', { set() { calls++ }, configurable: true })
    fiber.run()
    fiber.run()
    // A property that becomes a getter later.
    Object.defineProperty(fiber, 'later', { value: 1, enumerable: true, configurable: true })
    fiber.run()
    Object.defineProperty(fiber, 'later', { get() { calls++ }, enumerable: true })
    fiber.run()
  }
  make()
  const idle = Fiber(() => { for (;;) Fiber.yield() })
  for (let tries = 0; tries < 50 && found === ''; tries++) {
    await new Promise((resolve) => setImmediate(resolve))
    gc()
    idle.run()
  }
  console.log(calls, found)
  `,
  '0 read,write,data,state,plain,later\n',
  ['--expose-gc'],
)

test(
  'fibers that are dropped in one job are unwound in it, by the next run() after a collection',
  prints,
  `
  let cleaned = 0
  const drop = () => {
    Fiber(() => {
      try {
        Fiber.yield()
      } finally {
        cleaned++
      }
    }).run()
  }
  for (let i = 0; i < 5000; i++) drop()
  const idle = Fiber(() => { for (;;) Fiber.yield() })
  for (let i = 0; i < 2; i++) {
    gc()
    idle.run()
  }
  console.log(cleaned > 4990, Greenlet.all().length - 2 === 5000 - cleaned)
  `,
  'true true\n',
  ['--expose-gc'],
)

test(
  'fibers that are held, by a variable, by a runner or by a wait, stay',
  prints,
  `
  const log = []
  const held = Fiber(() => { Fiber.yield(); log.push('held') })
  held.run()
  let resolve
  const promise = new Promise((r) => (resolve = r))
  ;(() => {
    const inner = Fiber(() => { wait(promise); log.push('waited') })
    Fiber(() => { inner.run(); log.push('runner') }).run()
  })()
  const face = (() => {
    const fiber = Fiber(() => { Fiber.yield(); log.push('by its greenlet') })
    fiber.run()
    return greenletOf(fiber)
  })()
  const idle = Fiber(() => { for (;;) Fiber.yield() })
  for (let i = 0; i < 5; i++) {
    await new Promise((resolve) => setImmediate(resolve))
    gc()
    idle.run()
  }
  console.log(log.length)
  held.run()
  face.switch()
  resolve()
  await new Promise((resolve) => setImmediate(resolve))
  console.log(log.join())
  `,
  '0\nheld,by its greenlet,waited,runner\n',
  ['--expose-gc'],
)

test('an error in the unwinding of an unreachable fiber ends the process with 1, after the message', async (t) => {
  const { code, stdout, stderr } = await runProgram(
    `${BEFORE}
    process.on('exit', (code) => console.log('exit', code))
    Fiber(() => {
      try {
        Fiber.yield()
      } finally {
        throw new Error('in the cleanup')
      }
    }).run()
    for (let i = 0; ; i++) {
      await new Promise((resolve) => setImmediate(resolve))
      gc()
      Fiber(() => {}).run()
      if (i > 100) break
    }
    console.log('not reached')`,
    { flags: ['--expose-gc'] },
  )
  t.is(code, 1)
  t.is(stdout, 'exit 1\n')
  t.regex(
    stderr,
    /^An exception was thrown from a Fiber which was being garbage collected\. [^]*Error: in the cleanup\n/,
  )
})

test('process.exit() in a fiber ends the process', async (t) => {
  const { code, stdout } = await runProgram(`${BEFORE}
    const other = Fiber(() => { try { Fiber.yield() } finally { console.log('not reached') } })
    other.run()
    Fiber(() => process.exit(7)).run()`)
  t.deepEqual([code, stdout], [7, ''])
})

test('an uncaught error in a fiber ends the process with 1', async (t) => {
  const { code, stdout, stderr } = await runProgram(`${BEFORE}
    setImmediate(() => Fiber(function work() { throw new Error('uncaught') }).run())`)
  t.deepEqual([code, stdout], [1, ''])
  t.regex(stderr, /Error: uncaught\n {4}at work/)
})
