import { MessageChannel } from 'node:worker_threads'
import * as workerThreads from 'node:worker_threads'
import test from 'ava'
import { Greenlet, GreenletError, sleep, spawn } from '../js/index.ts'
import { runProgram } from './helpers/program.ts'

const { main } = Greenlet

/** A TypeError about an argument, with a message. */
function invalid(message: RegExp) {
  return { instanceOf: TypeError, code: 'ERR_GREENLET_INVALID_ARG', message } as const
}

test('what is not a function cannot be run', (t) => {
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

test('options are an object with a parent and a name', (t) => {
  t.throws(() => new Greenlet(run, main as never), invalid(/pass a parent as \{ parent \}/))
  t.throws(() => new Greenlet(run, null as never), invalid(/not null/))
  t.throws(() => new Greenlet(run, 'name' as never), invalid(/not 'name'/))
  t.throws(() => new Greenlet(run, { parent: {} as never }), invalid(/parent .* not an instance of Object/))
  t.throws(() => new Greenlet(run, { name: 7 as never }), invalid(/name .* not the number 7/))
  t.throws(() => (new Greenlet(run).name = undefined as never), invalid(/name .* not undefined/))
})

test('a greenlet that failed to be made is not one', (t) => {
  const before = Greenlet.all().length
  t.throws(() => new Greenlet(() => {}, { name: 7 as never }))
  t.is(Greenlet.all().length, before)
})

test('methods do not work on other objects', (t) => {
  const { prototype } = Greenlet
  const fake = Object.create(prototype) as Greenlet
  for (const key of Reflect.ownKeys(prototype)) {
    if (key === 'constructor') continue
    const { get, value } = Object.getOwnPropertyDescriptor(prototype, key)!
    const method: unknown = get ?? value
    if (typeof method === 'function')
      t.throws(() => Reflect.apply(method, fake, []), { instanceOf: TypeError }, String(key))
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
  if (!('markAsUncloneable' in workerThreads)) {
    t.pass('this Node.js has no way to say so')
    return
  }
  const { port1, port2 } = new MessageChannel()
  for (const g of [new Greenlet(), main, spawn(() => {})]) {
    t.throws(() => structuredClone(g), { name: 'DataCloneError' })
    t.throws(() => port1.postMessage(g), { name: 'DataCloneError' })
  }
  port1.close()
  port2.close()
})

test('one greenlet more than may be is an error that says what to do, and nothing is lost', async (t) => {
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
    "true ERR_GREENLET_LIMIT greenlet 'late' cannot start: as many greenlets are under way, or as much of their stacks in " +
    'memory (N bytes), as configure() allows; let some finish, or kill() those that are not needed\n'
  t.deepEqual(
    { code, stdout: stdout.replaceAll(/\d+ bytes/g, 'N bytes'), stderr },
    { code: 0, stdout: `${refusal.repeat(3)}unstarted true\nlate got it\ntrue\n`, stderr: '' },
  )
})

test('an error that is refused in a greenlet can be caught there', (t) => {
  const g = new Greenlet(() =>
    t.throws(() => (Greenlet.current.parent = Greenlet.current), { instanceOf: GreenletError }),
  )
  t.is(g.switch<GreenletError>().code, 'ERR_GREENLET_PARENT_CYCLE')
})
