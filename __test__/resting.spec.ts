// The stack of a greenlet that has ended rests, and takes the next one, which must see nothing of the first.

import { AsyncLocalStorage, createHook, executionAsyncId, executionAsyncResource } from 'node:async_hooks'
import { once } from 'node:events'
import { runInNewContext } from 'node:vm'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { configure, Greenlet, GreenletExit, runtimeInfo, spawn, wait } from '../js/index.ts'
import { thread } from '../js/core/thread.ts'
import { mail, STATUS } from '../js/native/contract.ts'
import { collect } from './helpers/collect.ts'
import { runProgram } from './helpers/program.ts'
import { turn } from './helpers/promises.ts'

const WORKER = new URL('helpers/resting-worker.mjs', import.meta.url)
const { main } = Greenlet
const store = new AsyncLocalStorage<object>()

/** Runs `fn`, and returns how often a stack that rested took a greenlet meanwhile. */
function taken(fn: () => void): number {
  const { native } = thread
  let count = 0
  thread.native = {
    ...native,
    rest() {
      native.rest()
      if (mail[STATUS] === 0) count++
    },
  }
  try {
    fn()
  } finally {
    thread.native = native
  }
  return count
}

test.serial('a stack takes greenlet after greenlet, however they end', (t) => {
  const ends = [
    () => 1,
    () => [1, 2].map((x) => main.switch(x)),
    () => {
      throw new Error('failed')
    },
    () => {
      throw new GreenletExit()
    },
  ]
  const run = (): void => {
    for (let i = 0; i < 40; i++) {
      const g = new Greenlet(ends[i % ends.length]!)
      const end = (): void => {
        while (!g.dead) g.switch()
      }
      if (i % ends.length === 2) t.throws(end, { message: 'failed' })
      else end()
      t.is(runtimeInfo().live, 0)
    }
  }
  run()
  t.is(taken(run), runtimeInfo().lane === 'fast' && process.env['GREENLETS_SPILL'] !== 'always' ? 39 : 0)
})

test.serial('many greenlets that end at once leave few stacks, and all are counted as ended', (t) => {
  const greenlets = Array.from({ length: 500 }, () => new Greenlet(() => main.switch()))
  for (const g of greenlets) g.switch()
  t.is(runtimeInfo().live, 500)
  for (const g of greenlets) g.switch()
  t.is(runtimeInfo().live, 0)
  t.deepEqual(Greenlet.all(), [main])
  t.notThrows(() => configure({ slots: 100 }))
  t.is(runtimeInfo().slots, 100)
  t.is(new Greenlet((x: number) => x + 1).switch(1), 2)
  configure({})
})

test.serial('a stack that rests keeps nothing of the greenlet that has ended alive', async (t) => {
  const refs: Record<string, WeakRef<object>> = {}
  const note = <T extends object>(name: string, object: T): T => {
    refs[name] = new WeakRef(object)
    return object
  }
  const run = (name: string, end: (inner: object) => unknown): void => {
    const g = note(`${name}: greenlet`, new Greenlet(end))
    note(`${name}: context`, g.gr_context!)
    try {
      g.switch(note(`${name}: argument`, {}))
    } catch {}
  }
  run('returns', () => note('result', {}))
  run('throws', () => {
    throw note('error', new Error('x'))
  })
  run('has a store', () => store.run(note('store', {}), () => store.getStore()))
  run('entered a store', () => store.enterWith(note('entered store', {})))
  run('catches', (inner) => {
    try {
      throw note('caught', { inner })
    } catch {}
  })
  class Method extends Greenlet {
    override run(): object {
      return this
    }
  }
  // In a function of its own, so that main's stack does not hold it.
  const method = (): void => void note('receiver', new Method()).switch()
  method()
  await turn()
  // One collection only: at the end of it the stacks that rest are forgotten.
  await collect()
  const alive = Object.keys(refs).filter((name) => refs[name]!.deref() !== undefined)
  t.deepEqual(alive, [])
})

test.serial('the next greenlet on a stack has a context, ids and stores of its own', (t) => {
  const seen: unknown[] = []
  const look = (): unknown => {
    const state = [store.getStore(), executionAsyncId(), executionAsyncResource()]
    seen.push(state)
    store.enterWith({ of: seen.length })
    return state
  }
  const contexts = [1, 2, 3].map((n) => {
    const g = n === 3 ? new Greenlet(look, { context: null }) : store.run({ n }, () => new Greenlet(look))
    const { gr_context } = g
    t.is(g.switch(), seen[n - 1])
    return gr_context
  })
  t.deepEqual(
    seen.map((state) => (state as unknown[])[0]),
    [{ n: 1 }, { n: 2 }, undefined],
  )
  t.deepEqual(
    seen.map((state) => (state as unknown[])[1]),
    [contexts[0]!.asyncId(), contexts[1]!.asyncId(), 0],
  )
  t.is((seen[0] as unknown[])[2], contexts[0])
  t.is((seen[1] as unknown[])[2], contexts[1])
  t.is(store.getStore(), undefined)
})

test.serial('greenlets that share a context keep it when one of them ends', (t) => {
  const read = (): unknown => [store.getStore(), main.switch(), store.getStore()]
  const first = store.run({ n: 1 }, () => new Greenlet(read))
  const second = new Greenlet(read, { context: first.gr_context })
  first.switch()
  second.switch()
  first.switch()
  t.true(first.dead)
  t.is(new Greenlet(() => store.getStore()).switch(), undefined)
  t.deepEqual(second.switch(), [{ n: 1 }, undefined, { n: 1 }])
})

test.serial('hooks see each greenlet on a stack begin and end', async (t) => {
  const log: [string, number][] = []
  const ids = new Set<number>()
  const hook = createHook({
    init: (id, type) => void (type === 'GREENLET' && ids.add(id)),
    before: (id) => void (ids.has(id) && log.push(['before', id])),
    after: (id) => void (ids.has(id) && log.push(['after', id])),
    destroy: (id) => void (ids.has(id) && log.push(['destroy', id])),
  }).enable()
  for (let i = 0; i < 3; i++) new Greenlet(() => i).switch()
  await turn()
  await turn()
  hook.disable()
  const expected = [...ids].flatMap((id) => [
    ['before', id],
    ['after', id],
  ])
  t.is(ids.size, 3)
  t.deepEqual(
    log.filter(([event]) => event !== 'destroy'),
    expected as typeof log,
  )
  t.deepEqual(
    log.filter(([event]) => event === 'destroy').map(([, id]) => id),
    [...ids],
  )
})

test.serial('the frames of a greenlet are its own, and those of the one before have ended', (t) => {
  const first = new Greenlet(function one() {
    main.switch()
  })
  first.switch()
  const { gr_stack } = first
  first.switch()
  const second = new Greenlet(function two() {
    main.switch()
  })
  second.switch()
  t.deepEqual(
    second.gr_stack.map((frame) => frame.functionName),
    ['two'],
  )
  t.throws(() => gr_stack.length, { message: /has ended/ })
  t.is(first.stackSize, 0)
  t.true(second.stackSize > 0)
  second.kill()
})

test.serial('a greenlet that V8 ends does not leave a stack to the next one', (t) => {
  const spin = (): void => runInNewContext('for (;;);', {}, { timeout: 5 }) as void
  for (let i = 0; i < 3; i++) {
    t.is(new Greenlet(() => i).switch(), i)
    t.throws(() => new Greenlet(spin).switch(), { code: 'ERR_SCRIPT_EXECUTION_TIMEOUT' })
    t.throws(
      () =>
        runInNewContext(
          'run()',
          {
            run: () =>
              new Greenlet(() => {
                for (;;);
              }).switch(),
          },
          { timeout: 5 },
        ),
      {
        code: 'ERR_SCRIPT_EXECUTION_TIMEOUT',
      },
    )
    t.is(runtimeInfo().live, 0)
  }
})

test.serial('greenlets that start and end in waits and in other greenlets find stacks', async (t) => {
  const nest = (depth: number): number =>
    depth === 0 ? wait(Promise.resolve(1)) : 1 + new Greenlet(() => depth).switch<number>() - depth + nest(depth - 1)
  for (let round = 0; round < 3; round++) {
    const sums = await Promise.all(Array.from({ length: 200 }, (_, i) => spawn(nest, i % 7)))
    t.is(
      sums.reduce((a, b) => a + b),
      Array.from({ length: 200 }, (_, i) => (i % 7) + 1).reduce((a, b) => a + b),
    )
    if (round === 1) await collect()
  }
  t.is(runtimeInfo().live, 0)
})

test.serial('a result passes on to an unstarted parent, which starts on a stack', (t) => {
  for (let i = 0; i < 5; i++) {
    const parent = new Greenlet((x: number) => x * 2)
    t.is(new Greenlet((x: number) => x + 1, { parent }).switch(i), 2 * (i + 1))
  }
})

test.serial('a Worker ends while stacks rest in it, by itself and by terminate()', async (t) => {
  for (const spin of [false, true, true, true]) {
    const worker = new Worker(WORKER, { workerData: { spin } })
    const [message] = (await once(worker, 'message')) as [unknown]
    t.is(message, 'ready')
    const exit = once(worker, 'exit')
    if (spin) await worker.terminate()
    t.deepEqual(await exit, [spin ? 1 : 0])
  }
})

test.serial('a limit of greenlets does not count stacks that rest', async (t) => {
  const { stdout } = await runProgram(`
    configure({ maxGreenlets: 3 })
    for (let round = 0; round < 2; round++) {
      const all = [1, 2, 3].map(() => new Greenlet(() => main.switch()))
      for (const g of all) g.switch()
      try {
        new Greenlet(() => {}).switch()
      } catch (error) {
        console.log(error.code)
      }
      for (const g of all) g.switch()
    }
    console.log(runtimeInfo().live)`)
  t.is(stdout, 'ERR_GREENLET_LIMIT\nERR_GREENLET_LIMIT\n0\n')
})
