import { MessageChannel } from 'node:worker_threads'
import test from 'ava'
import { Greenlet, GreenletError, settrace, sleep, spawn } from '../js/index.ts'
import { isInstance } from '../js/common/values.ts'
import { runProgram } from './helpers/program.ts'
import { parked } from './helpers/seed.ts'

const { main } = Greenlet

/** Checks for a TypeError with a code and a message. */
function invalid(message: RegExp) {
  return { instanceOf: TypeError, code: 'ERR_GREENLET_INVALID_ARG', message } as const
}

test('only a function can be run', (t) => {
  for (const [wrong, message] of [
    [1, /not the number 1/],
    ['code', /not 'code'/],
    [{}, /not an instance of Object/],
    [Object.create(null), /not an object/],
    [true, /not the boolean true/],
    [Symbol('s'), /not the symbol Symbol\(s\)/],
    [main, /not an instance of Greenlet/],
  ] as const) {
    t.throws(() => new Greenlet(wrong as never), invalid(message))
    t.throws(() => spawn(wrong as never), invalid(message))
    const g = new Greenlet()
    t.throws(() => (g.run = wrong as never), invalid(message))
  }
  t.throws(() => spawn(undefined as never), invalid(/not undefined/))
})

function run(): void {}

test('options must be an object, with a parent and a name of the right types', (t) => {
  t.throws(() => new Greenlet(run, main as never), invalid(/pass a parent as \{ parent \}/))
  t.throws(() => new Greenlet(run, null as never), invalid(/not null/))
  t.throws(() => new Greenlet(run, 'name' as never), invalid(/not 'name'/))
  t.throws(() => new Greenlet(run, { parent: {} as never }), invalid(/parent .* not an instance of Object/))
  t.throws(() => new Greenlet(run, { name: 7 as never }), invalid(/name .* not the number 7/))
  t.throws(() => (new Greenlet(run).name = undefined as never), invalid(/name .* not undefined/))
})

function revoked(target: object): never {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy as never
}

const own = new Greenlet()
const gone = revoked({})
const { signal } = new AbortController()

const VALUES: readonly unknown[] = [
  [undefined, null, true, 0, -1, 0.5, NaN, Infinity, 2 ** 31, 10n, '', 'text', 'x'.repeat(100), Symbol('s'), Symbol()],
  [{}, [], Object.create(null), new Date(), new Map(), /r/, Promise.resolve(), new Error('e'), new Proxy({}, {})],
  [() => {}, class {}, async () => {}, function* () {}, Math.max, gone, revoked(() => {})],
  [main, own, new Proxy(own, {}), Greenlet, AbortSignal, signal],
].flat()

const isNothing = (value: unknown): boolean => value === undefined || value === null
const isRun = (value: unknown): boolean => typeof value === 'function'
const isGreenlet = (value: unknown): boolean => value === main || value === own

/** Every function that takes an argument, and the arguments that it accepts. */
const TAKERS: readonly [what: string, call: (value: never) => unknown, takes: (value: unknown) => boolean][] = [
  ['new Greenlet(run)', (run) => new Greenlet(run), (value) => isNothing(value) || isRun(value)],
  ['greenlet.run', (run) => (new Greenlet().run = run), (value) => isNothing(value) || isRun(value)],
  ['new Greenlet(, options)', (options) => new Greenlet(run, options), isOptions],
  ['options.parent', (parent) => new Greenlet(run, { parent }), (value) => isNothing(value) || isGreenlet(value)],
  ['options.name', (name) => new Greenlet(run, { name }), (value) => value === undefined || typeof value === 'string'],
  ['greenlet.parent', (parent) => (new Greenlet(run).parent = parent), isGreenlet],
  ['greenlet.name', (name) => (new Greenlet(run).name = name), (value) => typeof value === 'string'],
  ['spawn(fn)', (fn) => spawn(fn).kill(), isRun],
  ['settrace(fn)', (fn) => settrace(fn) ?? settrace(null), (value) => value === null || isRun(value)],
  ['sleep(ms)', (ms) => sleep(ms, { signal: AbortSignal.abort(main) }), (value) => value === 0 || value === 0.5],
  ['sleep(, options)', (options) => sleep(0, options), isOptions],
  ['options.signal', (signal) => sleep(0, { signal }), (value) => value === undefined || value === signal],
]

/** Any object without keys that are no options; a greenlet has one. If reading it throws, that error belongs to the object. */
function isOptions(value: unknown): boolean {
  return (
    value === undefined ||
    (typeof value === 'object' && value !== null && value !== gone && !isInstance(value, Greenlet))
  )
}

for (const [what, call, takes] of TAKERS) {
  test(`${what} accepts valid arguments, refuses others with a code, and no greenlet is affected`, async (t) => {
    await spawn(() => {
      const me = Greenlet.current
      const parked = new Greenlet(() => me.switch('up'))
      t.is(parked.switch(), 'up')
      for (const [i, value] of VALUES.entries()) {
        const which = `${what} of value ${i}`
        let error: unknown
        try {
          call(value as never)
        } catch (caught) {
          error = caught
        }
        if (takes(value)) {
          // The error of an aborted sleep() or of an object that was read does not come from greenlets.
          t.is((error as { code?: string } | undefined)?.code, undefined, which)
        } else {
          t.true(error instanceof TypeError || error instanceof RangeError, `${which}: ${error as Error}`)
          t.is((error as { code?: string }).code, 'ERR_GREENLET_INVALID_ARG', which)
          t.regex(
            (error as Error).message,
            /(?:, not .|pass a parent as \{ parent \}|has no option 'serial'; it has )/,
            which,
          )
        }
        t.is(Greenlet.current, me, which)
        t.is(new Greenlet((x) => x).switch(i), i, which)
      }
      t.is(parked.state, 'suspended')
      parked.kill()
    })
  })
}

test('a greenlet whose construction failed is not in all()', (t) => {
  const before = Greenlet.all().length
  t.throws(() => new Greenlet(() => {}, { name: 7 as never }))
  t.is(Greenlet.all().length, before)
})

test('methods throw when they are called on other objects', (t) => {
  const frame = parked().gr_frame!
  for (const object of [main, spawn(() => {}), frame, frame.detach()]) {
    const prototype = Object.getPrototypeOf(object) as object
    for (const key of Reflect.ownKeys(prototype)) {
      if (key === 'constructor') continue
      const { get, set, value } = Object.getOwnPropertyDescriptor(prototype, key)!
      for (const method of [get, set, value]) {
        if (typeof method !== 'function') continue
        for (const fake of [Object.create(prototype), new Proxy(object, {})]) {
          t.throws(() => Reflect.apply(method, fake, [() => {}]), { instanceOf: Error }, String(key))
        }
      }
    }
  }
})

test('sleep() takes milliseconds and a signal', async (t) => {
  await spawn(() => {
    for (const wrong of ['5', undefined, null, NaN, {}]) {
      t.throws(() => sleep(wrong as never), invalid(/milliseconds/))
    }
    for (const wrong of [-1, 2 ** 31, Infinity]) {
      t.throws(() => sleep(wrong), { instanceOf: RangeError, code: 'ERR_GREENLET_INVALID_ARG' })
    }
    t.throws(() => sleep(1, 5 as never), invalid(/options .* not the number 5/))
    t.throws(() => sleep(1, null as never), invalid(/options .* not null/))
    t.throws(() => sleep(1, { signal: {} as never }), invalid(/AbortSignal/))
    t.is(sleep(1, {}) as unknown, undefined)
  })
})

test('a greenlet cannot be cloned or posted to another thread', (t) => {
  const { port1, port2 } = new MessageChannel()
  for (const g of [new Greenlet(), main, spawn(() => {})]) {
    t.throws(() => structuredClone(g), { any: true, name: 'DataCloneError' })
    t.throws(() => port1.postMessage(g), { any: true, name: 'DataCloneError' })
  }
  port1.close()
  port2.close()
})

test('a greenlet over the limit throws an error that says what to do, and no greenlet is affected', async (t) => {
  const { code, stdout, stderr } = await runProgram(`
    const slots = 1024
    configure({ maxGreenlets: slots })
    const all = Array.from({ length: slots }, () => new Greenlet(() => main.switch('up')))
    for (const g of all) if (g.switch() !== 'up') throw new Error('not parked')
    const late = new Greenlet((x) => 'late got ' + x, { name: 'late' })
    for (let i = 0; i < 3; i++) {
      try {
        late.switch('lost?')
      } catch (error) {
        console.log(error instanceof GreenletError, error.code, error.message)
      }
    }
    console.log(late.state, Greenlet.current === main)
    all[500].kill()
    console.log(late.switch('it'))
    for (const g of all) g.kill()
    for (let i = 0; i < slots; i++) all[i] = new Greenlet(() => main.switch('up'))
    console.log(all.every((g) => g.switch() === 'up'))
  `)
  const refusal =
    "true ERR_GREENLET_LIMIT greenlet 'late' cannot start: a limit of configure() is reached, for live greenlets or for the " +
    'memory of their stacks (N bytes); let some finish, or kill() those that are not needed\n'
  t.deepEqual(
    { code, stdout: stdout.replaceAll(/\d+ bytes/g, 'N bytes'), stderr },
    { code: 0, stdout: `${refusal.repeat(3)}unstarted true\nlate got it\ntrue\n`, stderr: '' },
  )
})

test('a greenlet can catch the error of a refused operation', (t) => {
  const g = new Greenlet(() =>
    t.throws(() => (Greenlet.current.parent = Greenlet.current), { instanceOf: GreenletError }),
  )
  t.is(g.switch<GreenletError>().code, 'ERR_GREENLET_PARENT_CYCLE')
})

test('an error names a greenlet in one short line, whatever its name is', (t) => {
  const g = new Greenlet(() => main.switch(), { name: `\u001b[31m\u009b\n\u202e${'x'.repeat(1e6)}` })
  g.switch()
  const errors = [t.throws(() => (g.parent = g)), t.throws(() => (g.run = () => {}))]
  for (const text of [...errors.map((error) => error.message), String(g)]) {
    t.true(text.includes('\\x1b[31m\\x9b\\n\\u202exxx'), text.slice(0, 300))
    t.true(text.length < 400)
  }
  g.kill()
})
