import { Worker } from 'node:worker_threads'
import test from 'ava'
import { Greenlet } from '../../js/index.ts'
import { leakcheck } from '../helpers/leakcheck.ts'
import { ended } from '../helpers/workers.ts'

const { main } = Greenlet

class SomeError extends Error {}

/** greenlet's `fmain`: switches to its parent, logs the error that arrives, and ends with SomeError. */
function fmain(seen: unknown[]): never {
  try {
    Greenlet.current.parent!.switch()
  } catch (error) {
    seen.push(error)
    throw error
  }
  throw new SomeError()
}

leakcheck('40 simple: a greenlet runs up to its switch, and continues from there', (t) => {
  const list: number[] = []
  const g = new Greenlet(() => {
    list.push(1)
    Greenlet.current.parent!.switch()
    list.push(3)
  })
  list.push(0)
  g.switch()
  list.push(2)
  g.switch()
  list.push(4)
  t.deepEqual(list, [0, 1, 2, 3, 4])
})

leakcheck('41 switch_no_run_raises_AttributeError: a greenlet without run cannot be switched to', (t) => {
  const g = new Greenlet()
  t.throws(() => g.switch(), { instanceOf: TypeError, code: 'ERR_GREENLET_NO_RUN', message: /\brun\b/ })
})

leakcheck('42 throw_no_run_raises_AttributeError: throwing into a greenlet without run fails with that error', (t) => {
  const g = new Greenlet()
  t.throws(() => g.throw(new SomeError()), { instanceOf: TypeError, code: 'ERR_GREENLET_NO_RUN', message: /\brun\b/ })
})

leakcheck('43 parent_equals_None: a parent of null or undefined means the current greenlet', (t) => {
  t.is(new Greenlet(null, { parent: null }).parent, Greenlet.current)
  t.is(new Greenlet(null, { parent: undefined }).parent, Greenlet.current)
  const g: Greenlet = new Greenlet(() => new Greenlet(null, { parent: null }).parent === g)
  t.true(g.switch())
})

leakcheck('44 run_equals_None: run may be null', (t) => {
  t.is(new Greenlet(null).run as unknown, null)
})

leakcheck('45 two_children: two greenlets of one function take turns and both end', (t) => {
  const list: number[] = []
  const run = (): void => {
    list.push(1)
    Greenlet.current.parent!.switch()
    list.push(1, 1)
  }
  const [g, h] = [new Greenlet(run), new Greenlet(run)]
  g.switch()
  t.is(list.length, 1)
  h.switch()
  t.is(list.length, 2)
  h.switch()
  t.is(list.length, 4)
  t.true(h.dead)
  g.switch()
  t.is(list.length, 6)
  t.true(g.dead)
})

leakcheck('46 two_recursive_children: a greenlet may be made, started and left in a greenlet', (t) => {
  const list: string[] = []
  const outer = new Greenlet(() => {
    list.push('a')
    const inner = new Greenlet(() => {
      list.push('b')
      Greenlet.current.parent!.switch()
    })
    inner.switch()
    list.push('c')
    inner.kill()
  })
  outer.switch()
  t.deepEqual(list, ['a', 'b', 'c'])
  t.true(outer.dead)
})

const WORKER = new URL('../helpers/conformance-worker.mjs', import.meta.url)

test('47 threads: ten Workers at once have greenlets of their own', async (t) => {
  const workers = Array.from({ length: 10 }, () => new Worker(WORKER, { workerData: 'simple' }))
  const endings = await Promise.all(workers.map(ended))
  for (const ending of endings) t.deepEqual(ending, { code: 0, messages: [[0, 1, 2, 3, 4]] })
})

leakcheck('49 exception: an error goes to the parent, and from there to the next parent', (t) => {
  const seen: unknown[] = []
  const [g1, g2] = [new Greenlet(fmain), new Greenlet(fmain)]
  g1.switch(seen)
  g2.switch(seen)
  g2.parent = g1
  t.deepEqual(seen, [])
  const { switch: method } = g2
  const error = t.throws(() => Reflect.apply(method, g2, []), { instanceOf: SomeError })
  t.deepEqual(seen, [error], 'g1 has seen it and passed it on; g2 had nothing to see')
  t.true(g1.dead && g2.dead)
  t.is(g2.switch(), undefined)
  t.deepEqual(seen, [error])
  t.is(g2.switch(25), 25)
  t.deepEqual(seen, [error])
})

leakcheck('50 send_exception: an error of a child arrives in its parent as the same object', (t) => {
  const seen: unknown[] = []
  const error = new RangeError('from the child')
  const g1 = new Greenlet(fmain)
  g1.switch(seen)
  const child = new Greenlet(
    () => {
      throw error
    },
    { parent: g1 },
  )
  t.is(
    t.throws(() => child.switch(), { instanceOf: RangeError }),
    error,
  )
  t.deepEqual(seen, [error])
  t.true(g1.dead && child.dead)
})

test('55 thread_bug: two Workers may block in greenlets at the same time', async (t) => {
  const started = performance.now()
  const workers = [200, 300].map((block) => new Worker(WORKER, { workerData: 'block', env: { BLOCK: String(block) } }))
  const endings = await Promise.all(workers.map(ended))
  for (const ending of endings) t.deepEqual(ending, { code: 0, messages: ['timed-out'] })
  t.true(performance.now() - started >= 300)
})

leakcheck('56 switch_kwargs: an object stands for named arguments', (t) => {
  const g = new Greenlet(({ a, b }: { a: number; b: number }) => {
    t.is(a, 4)
    t.is(b, 2)
    return 42
  })
  t.is(g.switch({ a: 4, b: 2 }), 42)
})

leakcheck('57 switch_kwargs_to_parent: one argument arrives as itself, several as an array', (t) => {
  const g = new Greenlet((x: number) => {
    Greenlet.current.parent!.switch({ x })
    Greenlet.current.parent!.switch(2, { x: 3 })
    return [x, x ** 2]
  })
  t.deepEqual(g.switch(3), { x: 3 })
  t.deepEqual(g.switch(), [2, { x: 3 }])
  t.deepEqual(g.switch(), [3, 9])
})

leakcheck('59 exc_state: a greenlet that starts in a catch block does not see the error', (t) => {
  const log: unknown[] = []
  const error = new SomeError('caught')
  const inner = (): void => {
    try {
      main.switch('inside')
    } catch (other) {
      log.push(other)
    } finally {
      log.push('finally')
    }
  }
  const outer = new Greenlet(() => {
    try {
      throw error
    } catch (caught) {
      const g = new Greenlet(inner)
      g.switch()
      t.is(caught, error)
      g.throw(new RangeError('for the other'))
      t.is(caught, error)
      throw caught
    }
  })
  t.is(outer.switch(), 'inside')
  // Here main runs while catch blocks are open on two other stacks.
  t.is(
    t.throws(() => outer.switch()),
    error,
  )
  t.is(log.length, 2)
  t.true(log[0] instanceof RangeError)
})

leakcheck('60 instance_dict: a greenlet is an object that can have properties', (t) => {
  const g: Greenlet & { test?: number } = new Greenlet(() => {
    ;(Greenlet.current as { test?: number }).test = 42
  })
  // A number of its own tells each greenlet from all others, also for tools that compare objects.
  t.deepEqual(Object.keys(g), ['serial'])
  g.switch()
  t.is(g.test, 42)
  t.deepEqual(Object.entries(g).slice(1), [['test', 42]])
  t.throws(() => Object.setPrototypeOf(Greenlet.prototype, 42 as never), { instanceOf: TypeError })
})

leakcheck('61 running_greenlet_has_no_run: run is undefined while the greenlet runs', (t) => {
  const g = new Greenlet(() => Greenlet.current.run)
  t.is(typeof g.run, 'function')
  t.is(g.switch(), undefined)
})

leakcheck('62 deepcopy: a greenlet cannot be cloned, in any state', (t) => {
  const g = new Greenlet(() => main.switch())
  const refused = (): void => {
    t.throws(() => structuredClone(g), { any: true, name: 'DataCloneError' })
    t.throws(() => structuredClone({ deep: [g] }), { any: true, name: 'DataCloneError' })
  }
  refused()
  g.switch()
  refused()
  g.kill()
  refused()
  t.throws(() => structuredClone(main), { any: true, name: 'DataCloneError' })
  // It cannot be sent to another thread either.
  const { port1 } = new MessageChannel()
  t.throws(() => port1.postMessage(g), { any: true, name: 'DataCloneError' })
  port1.close()
  // A shallow copy is a plain object, not a greenlet.
  t.throws(() => Reflect.apply(g.switch, { ...g }, []), { instanceOf: TypeError })
})
