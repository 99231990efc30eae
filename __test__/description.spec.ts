import { inspect } from 'node:util'
import test from 'ava'
import * as greenlets from '../js/index.ts'
import { collect, collectRounds, collectUntil } from './helpers/collect.ts'
import { sameItems } from './helpers/identity.ts'
import { LANE } from './helpers/lane.ts'
import { runProgram } from './helpers/program.ts'

const { Greenlet, GreenletExit, GreenletError, StaleFrameError, UnsupportedRuntimeError } = greenlets
const { main } = Greenlet

test('the state of a greenlet is unstarted, running, suspended and dead in turn', (t) => {
  const states: unknown[] = []
  const note = (): void => void states.push([g.state, g.started, g.dead])
  const g = new Greenlet(() => {
    note()
    new Greenlet(note).switch()
    main.switch()
  })
  note()
  g.switch()
  note()
  g.switch()
  note()
  t.deepEqual(states, [
    ['unstarted', false, false],
    ['running', true, false],
    ['suspended', true, false],
    ['suspended', true, false],
    ['dead', true, true],
  ])
})

test('current is the running greenlet, and main exists from the start', (t) => {
  t.is(Greenlet.current, main)
  t.true(main instanceof Greenlet)
  t.is(main.state, 'running')
  t.is(main.name, 'main')
  const g: greenlets.Greenlet = new Greenlet(() => [Greenlet.current === g, Greenlet.main === main, main.state])
  t.deepEqual(g.switch(), [true, true, 'suspended'])
  class Special extends (main.constructor as typeof Greenlet) {}
  t.is(Special.current, main)
})

test("toString() and inspect() use the words of Python's greenlet", (t) => {
  t.true(String(main).endsWith(" 'main' current active started main>"))
  const seen = new Greenlet(() => String(main)).switch<string>()
  t.true(seen.endsWith(' suspended active started main>'))
  const g = new Greenlet(() => main.switch(String(g)), { name: 'worker' })
  t.is(String(g), "<Greenlet 'worker' pending>")
  t.is(g.switch(), "<Greenlet 'worker' current active started>")
  t.is(`${g.toString()}`, "<Greenlet 'worker' suspended active started>")
  g.kill()
  t.is(inspect(g), "<Greenlet 'worker' dead>")
  class Worker extends Greenlet {}
  t.is(inspect([new Worker(undefined, { name: 'w' })]), "[ <Worker 'w' pending> ]")
})

test('toJSON() gives the name, the state and the name of the parent', (t) => {
  const g = new Greenlet(undefined, { name: 'g' })
  t.deepEqual(JSON.parse(JSON.stringify([main, g])), [
    { name: 'main', state: 'running', parent: null },
    { name: 'g', state: 'unstarted', parent: 'main' },
  ])
})

function job(): void {}

test('stackSize is 0 for a greenlet without a suspended stack', (t) => {
  const g: greenlets.Greenlet = new Greenlet(() => {
    t.is(g.stackSize, 0, 'it runs')
    main.switch()
  })
  t.is(g.stackSize, 0)
  g.switch()
  t.true(g.stackSize > 0)
  t.is(main.stackSize, 0, 'main is on the stack of the thread')
  g.kill()
  t.is(g.stackSize, 0)
})

test('the name is the given one, the name of run, or a number', (t) => {
  t.is(new Greenlet(job).name, 'job')
  t.is(new Greenlet(job, { name: 'mine' }).name, 'mine')
  t.regex(new Greenlet(() => {}).name, /^greenlet-\d+$/)
  const [a, b] = [new Greenlet(), new Greenlet()]
  t.not(a.name, b.name)
  a.name = 'later'
  t.is(a.name, 'later')
})

test.serial('all() returns main and every greenlet that is not dead, in the order they were made', async (t) => {
  const before = new Set(Greenlet.all())
  t.true(before.has(main))
  const made = Array.from({ length: 5 }, () => new Greenlet(() => main.switch()))
  const added = (): greenlets.Greenlet[] => Greenlet.all().filter((g) => !before.has(g))
  sameItems(t, added(), made)
  made[1]!.switch()
  made[2]!.kill()
  sameItems(t, added(), [made[0], made[1], made[3], made[4]])
  // After a full collection they are only held weakly.
  await collectRounds(2)
  sameItems(t, added(), [made[0], made[1], made[3], made[4]])
  made[0]!.kill()
  made[1]!.switch()
  sameItems(t, added(), [made[3], made[4]])
  t.is(Greenlet.all()[0], main)
})

test.serial('all() does not keep greenlets alive', async (t) => {
  const refs = Array.from({ length: 100 }, () => new WeakRef(new Greenlet(() => {})))
  const alive = (): unknown[] => refs.filter((ref) => ref.deref() !== undefined)
  await collectUntil(() => alive().length === 0)
  t.deepEqual(alive(), [])
})

test('unstarted greenlets that were collected are forgotten', async (t) => {
  const { stdout, stderr } = await runProgram(`
    const { queryObjects, setFlagsFromString } = await import('node:v8')
    const { runInNewContext } = await import('node:vm')
    setFlagsFromString('--expose-gc')
    const gc = runInNewContext('gc')
    const turn = () => new Promise((resolve) => setImmediate(resolve))
    for (let job = 0; job < 20; job++) {
      for (let i = 0; i < 500; i++) new Greenlet(() => {})
      await turn()
      gc()
    }
    await turn()
    console.log(queryObjects(WeakRef))`)
  // The registry has a WeakRef for each unstarted greenlet that one full collection has met, and removes it after the next one.
  t.true(Number(stdout) < 2500, `${stdout} of 10,000 are left ${stderr}`)
})

test.serial('a dead greenlet can be collected', async (t) => {
  const refs = Array.from({ length: 10 }, () => {
    const g = new Greenlet(() => void main.switch())
    g.switch()
    g.switch()
    return new WeakRef(g)
  })
  await collect()
  t.deepEqual(
    refs.filter((ref) => ref.deref() !== undefined),
    [],
  )
})

test('errors have names, codes and a common class', (t) => {
  const exit = new GreenletExit()
  t.is(exit.name, 'GreenletExit')
  t.is(exit.code, 'ERR_GREENLET_EXIT')
  t.true(exit instanceof Error)
  t.false(exit instanceof GreenletError)
  t.deepEqual(
    [StaleFrameError, UnsupportedRuntimeError].map((kind) => {
      const error = new kind('why')
      return [error.name, error.code, error.message, error instanceof GreenletError]
    }),
    [
      ['StaleFrameError', 'ERR_GREENLET_STALE_FRAME', 'why', true],
      ['UnsupportedRuntimeError', 'ERR_GREENLET_UNSUPPORTED_RUNTIME', 'why', true],
    ],
  )
})

test('the package exports these names and no others', (t) => {
  t.deepEqual(Object.keys(greenlets).toSorted(), [
    'Greenlet',
    'GreenletError',
    'GreenletExit',
    'StaleFrameError',
    'TimeoutError',
    'UnsupportedRuntimeError',
    'bind',
    'blocking',
    'configure',
    'describe',
    'gettrace',
    'runtimeInfo',
    'settrace',
    'sleep',
    'spawn',
    'version',
    'wait',
  ])
})

test('runtimeInfo() describes this runtime', (t) => {
  const info = greenlets.runtimeInfo()
  t.is(info.supported, true)
  t.is(info.lane, LANE)
  t.is(info.reason, undefined)
  t.is(info.node, process.versions.node)
  t.is(info.v8, process.versions.v8)
  t.is(info.slots, Number(process.env['GREENLETS_SLOTS'] ?? 1024))
  t.is(info.spilled, 0)
  t.is(info.spilledBytes, 0)
})
