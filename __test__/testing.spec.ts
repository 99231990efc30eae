// `greenlets/testing`: where a greenlet is parked, waiting for that, text for snapshots, and what a test has left.

import { createRequire } from 'node:module'
import { runInThisContext } from 'node:vm'
import test from 'ava'
import { Greenlet, sleep, spawn, wait } from '../js/index.ts'
import { greenletOf } from '../js/fibers/index.ts'
import { localsOf } from '../js/inspect/index.ts'
import {
  matchers,
  noGreenletsLeft,
  parkedAt,
  type ParkedAtOptions,
  settle,
  stackText,
  untilParked,
} from '../js/testing/index.ts'
import { pending } from './helpers/promises.ts'
import { parked } from './helpers/seed.ts'

const { main } = Greenlet

class Lock {
  acquire(): unknown {
    return main.switch()
  }
  get held(): unknown {
    return this.acquire()
  }
}

/** Suspended in Lock.acquire < held < an arrow function < Array.map < withLock. */
function locked(): Greenlet {
  const g = new Greenlet(function withLock(locks: Lock[]) {
    return locks.map((lock) => lock.held)
  })
  g.switch([new Lock()])
  return g
}

for (const [names, expected, options] of [
  [[], true],
  [['acquire', 'withLock'], true],
  [['withLock', 'acquire'], false],
  [['Lock.acquire', 'held', '<anonymous>', 'Array.map', 'withLock'], true],
  [['acquire', 'Lock.held', '<anonymous>', 'map', 'withLock'], true, { gaps: false }],
  [['acquire', 'held'], true, { gaps: false }],
  [['acquire', 'withLock'], false, { gaps: false }],
  [['held'], false, { gaps: false }],
  [['held'], true, { gaps: undefined }],
  [[/^acq/g, /lock$/i], true],
  [[Object.freeze(/^acq/g)], true],
  [[/^Lock\.acquire$/], true],
  [[/^with/y, 'withLock'], false],
  [['acquire', 'withLock', 'more'], false],
  [['withLock', 'withLock'], false],
  [['lock'], false],
] as [(string | RegExp)[], boolean, ParkedAtOptions?][]) {
  test.serial(`parkedAt(g, [${names.join()}], ${JSON.stringify(options)}) is ${expected}`, (t) => {
    const g = locked()
    t.is(parkedAt(g, names, options), expected)
    // Patterns with a state give the same answer again.
    t.is(parkedAt(g, names, options), expected)
    t.is(matchers.toBeParkedAt(g, names, options).pass, expected)
    g.kill()
    t.false(parkedAt(g, names, options))
  })
}

test.serial('wrong arguments are TypeErrors', async (t) => {
  const g = parked()
  const revoked = Proxy.revocable({}, {})
  revoked.revoke()
  const wrong: ((...args: never[]) => unknown)[] = [
    () => parkedAt({} as never, []),
    () => parkedAt(g, 'x' as never),
    () => parkedAt(g, [1 as never]),
    () => parkedAt(g, [{ [Symbol.toStringTag]: 'RegExp' } as never]),
    () => parkedAt(g, [revoked.proxy as never]),
    () => parkedAt(g, [], { gap: true } as never),
    () => parkedAt(g, [], { gaps: 1 as never }),
    () => stackText(null as never),
    () => stackText(g, { lines: 1 as never }),
    () => stackText(g, { root: 1 as never }),
    () => matchers.toBeParkedAt(g, 'x' as never),
    () => untilParked(null as never),
    () => untilParked(g, { timeout: -1 }),
    () => untilParked(g, { at: 'x' as never }),
    () => settle({ timeout: 'x' as never }),
  ]
  for (const call of wrong) {
    await t.throwsAsync(async () => void (await call()), { code: 'ERR_GREENLET_INVALID_ARG' }, String(call))
  }
  g.kill()
})

test.serial('what is not a greenlet or a fiber is a TypeError of every function that takes one', async (t) => {
  const g = parked()
  const revoked = Proxy.revocable({}, {})
  revoked.revoke()
  let trapped = 0
  const trap = (): never => {
    trapped++
    throw new Error('a trap')
  }
  const traps = new Proxy({}, { getPrototypeOf: trap, get: trap, has: trap, ownKeys: trap })
  const odd = [
    null,
    undefined,
    7,
    'x',
    Symbol('s'),
    {},
    [],
    () => {},
    Object.create(Greenlet.prototype),
    new Proxy(g, {}),
  ]
  const takers: Record<string, (value: never) => unknown> = {
    'parkedAt()': (value) => parkedAt(value, ['x']),
    'stackText()': (value) => stackText(value),
    'untilParked()': (value) => untilParked(value, { timeout: 1 }),
    'localsOf()': (value) => localsOf(value),
    'greenletOf()': (value) => greenletOf(value),
  }
  for (const [name, take] of Object.entries(takers)) {
    for (const value of [...odd, traps, revoked.proxy]) {
      const error = await t.throwsAsync(async () => void (await take(value as never)), { instanceOf: TypeError }, name)
      t.like(error, { code: 'ERR_GREENLET_INVALID_ARG' })
      t.true(error.message.startsWith(`${name} takes a `), error.message)
    }
  }
  for (const value of [...odd, revoked.proxy]) t.false(matchers.toBeParkedAt(value, ['x']).pass)
  const takesNone = { code: 'ERR_GREENLET_INVALID_ARG', message: /, not a Proxy that is revoked$/ }
  t.throws(() => parkedAt(g, revoked.proxy as never), takesNone)
  t.throws(() => parkedAt(g, [], revoked.proxy), takesNone)
  t.throws(() => stackText(g, revoked.proxy), takesNone)
  t.throws(() => localsOf(g, revoked.proxy), takesNone)
  await t.throwsAsync(settle(revoked.proxy), takesNone)
  // Its class is described, but a Proxy is not asked whether it is a greenlet.
  t.true(trapped <= 5)
  g.kill()
})

test.serial('the matcher says what it wanted and where the greenlet is', (t) => {
  const g = parked()
  const no = matchers.toBeParkedAt(g, ['outer', /x/])
  t.false(no.pass)
  t.regex(
    no.message(),
    /^expected greenlet 'x' to be parked at \['outer', \/x\/\]:\ngreenlet "x" #\d+, suspended in switch\(\).*\n {4}at inner/,
  )
  t.regex(matchers.toBeParkedAt(g, ['outer']).message(), /^expected greenlet 'x' not to be parked at \['outer'\]:/)
  g.kill()
  t.is(matchers.toBeParkedAt(7, []).message(), 'expected a greenlet that is parked at [], not the number 7')
  t.false(matchers.toBeParkedAt(7, []).pass)
})

test.serial('stackText() is the same on every Node.js, and tells nothing of the machine', (t) => {
  const g = locked()
  const lines = stackText(g).split('\n')
  t.deepEqual(
    lines.map((line) => line.replace(/:\d+\)$/, ':N)')),
    [
      'at Lock.acquire (__test__/testing.spec.ts:N)',
      'at Lock.held (__test__/testing.spec.ts:N)',
      'at <anonymous> (__test__/testing.spec.ts:N)',
      'at Array.map',
      'at withLock (__test__/testing.spec.ts:N)',
    ],
  )
  // The lines are those of this file.
  t.is(lines[0], 'at Lock.acquire (__test__/testing.spec.ts:25)')
  t.is(stackText(g, { lines: false, root: import.meta.dirname }).split('\n')[1], 'at Lock.held (testing.spec.ts)')
  g.kill()
  t.is(stackText(g), '')
})

test.serial('stackText() folds frames of Node.js and of packages, and names evaluated code', (t) => {
  const lodash = createRequire(import.meta.url)('express') as () => { handle(...args: unknown[]): void }
  const g = new Greenlet(function start() {
    const target = new EventTarget()
    target.addEventListener('x', function listener() {
      // oxlint-disable-next-line no-eval -- this is what the test is about; indirect eval does not see this scope
      ;(0, eval)('(function evaluated(stop) { stop() })')(() => {
        runInThisContext('(function named(stop) { stop() })', { filename: 'of-vm.js' })(() => {
          lodash().handle({ headers: {}, method: 'GET', url: '/' }, { setHeader: () => main.switch() }, () => {})
        })
      })
    })
    target.dispatchEvent(new Event('x'))
  })
  g.switch()
  const text = stackText(g, { lines: false })
  t.is(
    text,
    `at setHeader (__test__/testing.spec.ts)
... express
at <anonymous> (__test__/testing.spec.ts)
at named (of-vm.js)
at <anonymous> (__test__/testing.spec.ts)
at evaluated (evaluated)
at EventTarget.listener (__test__/testing.spec.ts)
... node
at start (__test__/testing.spec.ts)`,
  )
  g.kill()
})

test.serial('untilParked() resolves when the greenlet is parked there', async (t) => {
  const { promise, resolve } = pending()
  const g = spawn(function job() {
    sleep(5)
    ;(function second() {
      wait(promise)
    })()
  })
  await untilParked(g)
  t.is(g.state, 'suspended')
  await untilParked(g, { at: ['second', 'job'], gaps: false })
  t.true(parkedAt(g, ['second']))
  // It is parked there already.
  await untilParked(g, { at: ['second'], timeout: 0 })
  await spawn(() => wait(untilParked(g, { at: ['second'] })))
  resolve(undefined)
  await g
})

test.serial('untilParked() says where the greenlet is instead', async (t) => {
  const g = spawn(function job() {
    sleep(60_000)
  })
  await settle()
  const late = await t.throwsAsync(untilParked(g, { at: ['acquire'], timeout: 5 }), { code: 'ERR_GREENLET_TIMEOUT' })
  t.regex(
    late.message,
    /^greenlet 'job' was not parked at \['acquire'\] within 5 ms; compare the names .*\ngreenlet "job" #\d+, suspended \d+ ms in sleep\(60000\).*\n {4}at job /,
  )
  g.kill()
  await t.throwsAsync(g)
  await t.throwsAsync(untilParked(g), {
    code: 'ERR_GREENLET_NOT_PARKED',
    message: "greenlet 'job' has ended and was not seen parked; look at its result, or make it stop there",
  })
  const unstarted = new Greenlet(() => {})
  await t.throwsAsync(untilParked(unstarted, { timeout: 5 }), { message: /it has not started: call its switch\(\)/ })
})

test.serial('settle() runs until all are parked or have ended', async (t) => {
  const { promise } = pending()
  let done = 0
  const chain = spawn(function chain() {
    for (let i = 0; i < 20; i++) wait(new Promise((resolve) => setImmediate(resolve)))
    done++
    spawn(() => void done++)
  })
  const waits = spawn(function waits() {
    wait(promise)
  })
  t.deepEqual(await settle(), [waits])
  t.is(done, 2)
  t.true(chain.dead)
  t.deepEqual(await settle(), [waits])
  waits.kill()
  await t.throwsAsync(waits)
  t.deepEqual(await settle(), [])
})

test.serial('settle() names the greenlets that go on and on', async (t) => {
  const g = spawn(function endless() {
    for (;;) wait(new Promise((resolve) => setImmediate(resolve)))
  })
  const error = await t.throwsAsync(settle({ timeout: 20 }), { code: 'ERR_GREENLET_TIMEOUT' })
  t.regex(error.message, /^greenlets still went on after 20 ms; .*\ngreenlet "endless" #\d+, suspended in wait\(\)/)
  g.kill()
  await t.throwsAsync(g)
})

test.serial('noGreenletsLeft() tells those that are left, and kills them', async (t) => {
  await noGreenletsLeft()
  t.is(noGreenletsLeft.length, 0)
  const g = parked()
  const spawned = spawn(function sleeper() {
    sleep(60_000)
  })
  spawned.catch(() => {})
  const error = await t.throwsAsync(noGreenletsLeft(), { code: 'ERR_GREENLET_LEFT' })
  t.regex(error.message, /^2 greenlets were left suspended, and killed now; let the test wait until they end, or kill/)
  t.regex(error.message, /^greenlet "x" #\d+, suspended in switch\(\).*\n {4}at inner /m)
  t.regex(error.message, /^greenlet "sleeper" #\d+, suspended \d+ ms in sleep\(60000\)/m)
  t.true(g.dead && spawned.dead)
  await noGreenletsLeft()

  const stubborn = new Greenlet(function stubborn() {
    for (let i = 0; i < 2; i++) {
      try {
        main.switch()
      } catch {
        // Refuses to end.
      }
    }
  })
  stubborn.switch()
  await t.throwsAsync(noGreenletsLeft(), { message: /^1 greenlet was left suspended, and told to end now, but 1 of/ })
  stubborn.kill()
  await noGreenletsLeft()
})

test.serial('noGreenletsLeft() in a greenlet does not count that greenlet', async (t) => {
  await t.notThrowsAsync(spawn(() => wait(noGreenletsLeft())))
})

test.serial('fake timers do not stop the helpers', async (t) => {
  const real = { setImmediate, setTimeout, hrtime: process.hrtime.bigint }
  const g = spawn(function job() {
    sleep(60_000)
  })
  Object.assign(globalThis, { setImmediate: () => {}, setTimeout: () => {} })
  process.hrtime.bigint = () => 0n
  try {
    await t.throwsAsync(untilParked(g, { at: ['nowhere'], timeout: 300 }), { code: 'ERR_GREENLET_TIMEOUT' })
    t.deepEqual(await settle(), [g])
  } finally {
    Object.assign(globalThis, { setImmediate: real.setImmediate, setTimeout: real.setTimeout })
    process.hrtime.bigint = real.hrtime
  }
  g.kill()
  await t.throwsAsync(g)
})

test.serial(
  'with fake timers, greenlets start and are killed, and only what waits for a time follows the fake time',
  async (t) => {
    const { setImmediate, setTimeout, clearTimeout, queueMicrotask } = globalThis
    const timers: { readonly ms: number; readonly call: () => void }[] = []
    let faked = 0
    const fake = (): void => void faked++
    Object.assign(globalThis, {
      setImmediate: fake,
      queueMicrotask: fake,
      setTimeout: (call: () => void, ms: number) => timers.push({ call, ms }),
      clearTimeout: () => {},
    })
    t.teardown(() => {
      Object.assign(globalThis, { setImmediate, setTimeout, clearTimeout, queueMicrotask })
    })
    const sleeper = spawn(() => (sleep(60_000), 'slept'))
    const waiter = spawn(() => wait(new Promise(() => {}), { timeout: 70_000 }))
    const controller = new AbortController()
    const killed = spawn.with({ signal: controller.signal }, () => sleep(80_000))
    const left = spawn(() => sleep(90_000))
    await settle()
    t.deepEqual(timers.map(({ ms }) => ms).toSorted(), [60_000, 70_000, 80_000, 90_000])
    controller.abort()
    await t.throwsAsync(killed, { code: 'ERR_GREENLET_KILLED' })
    t.true(left.interrupt(new Error('interrupted')))
    await t.throwsAsync(left, { message: 'interrupted' })
    for (const { call, ms } of timers) if (ms < 80_000) call()
    t.is(await sleeper, 'slept')
    await t.throwsAsync(waiter, { code: 'ERR_GREENLET_TIMEOUT' })
    const inSleep = new AbortController()
    const aborted = spawn(() => sleep(1000, { signal: inSleep.signal }))
    await settle()
    inSleep.abort(new Error('aborted'))
    await t.throwsAsync(aborted, { message: 'aborted' })
    const { promise, resolve } = pending<number>()
    const last = spawn(() => wait(promise) + 1)
    await settle()
    resolve(1)
    t.is(await last, 2)
    t.is(faked, 0)
  },
)
