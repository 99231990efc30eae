import test from 'ava'
import { thread } from '../js/core/thread.ts'
import { Greenlet } from '../js/index.ts'
import { collect } from './helpers/collect.ts'

const { main } = Greenlet

/** Switches to the current greenlet's parent. */
function up(...args: unknown[]): unknown {
  return Greenlet.current.parent!.switch(...args)
}

function counted(...args: unknown[]): unknown[] {
  return [args.length, ...args]
}

test('a greenlet runs until it switches away, and continues from there', (t) => {
  const log: number[] = []
  const g = new Greenlet(() => {
    log.push(1)
    up()
    log.push(3)
  })
  log.push(0)
  g.switch()
  log.push(2)
  g.switch()
  log.push(4)
  t.deepEqual(log, [0, 1, 2, 3, 4])
})

test('one argument arrives as itself, several as an array, none as undefined', (t) => {
  const g = new Greenlet(() => {
    for (let got; got !== 'end';) got = up(got)
  })
  g.switch()
  const object = {}
  t.is(g.switch(object), object)
  t.is(g.switch(), undefined)
  t.is(g.switch(undefined), undefined)
  t.deepEqual(g.switch(1, 2), [1, 2])
  t.deepEqual(g.switch(1, undefined), [1, undefined])
  t.deepEqual(g.switch([]), [])
  g.switch('end')
})

test('the first switch passes all its arguments to run', (t) => {
  t.deepEqual(new Greenlet(counted).switch(), [0])
  t.deepEqual(new Greenlet(counted).switch(undefined), [1, undefined])
  t.deepEqual(new Greenlet(counted).switch('a', 'b', 'c'), [3, 'a', 'b', 'c'])
})

test("the result of run arrives in its parent's switch", (t) => {
  t.is(new Greenlet((a: number, b: number) => a * b).switch(6, 7), 42)
})

test('a greenlet switches from within built-in functions, getters and comparators', (t) => {
  const g = new Greenlet(() => {
    const object = {
      get got() {
        return up('getter')
      },
    }
    const mapped = [1, 2].map((x) => up(['map', x]))
    const sorted = [3, 1, 2].sort((a, b) => {
      up('sort')
      return a - b
    })
    const parsed: unknown = JSON.parse('[7]', (key, value) => (key === '0' ? up('reviver') : value))
    const replaced = 'x'.replace(/x/, () => String(up('replace')))
    return [object.got, mapped, sorted, parsed, replaced]
  })
  const steps: unknown[] = [g.switch()]
  while (!g.dead) steps.push(g.switch(steps.length))
  t.deepEqual(steps.at(-1), [
    1 + steps.indexOf('getter'),
    [1, 2],
    [1, 2, 3],
    [steps.indexOf('reviver') + 1],
    String(steps.indexOf('replace') + 1),
  ])
  t.deepEqual([...new Set(steps.slice(0, -1).map(String))], ['map,1', 'map,2', 'sort', 'reviver', 'replace', 'getter'])
})

test('any greenlet switches to any other', (t) => {
  const log: string[] = []
  const a: Greenlet = new Greenlet(() => {
    log.push('a')
    log.push(b.switch<string>('from a'))
    return 'a ends'
  })
  const b: Greenlet = new Greenlet((got: string) => {
    log.push(got)
    log.push(c.switch<string>('from b'))
  })
  const c: Greenlet = new Greenlet((got: string) => {
    log.push(got)
    a.switch('from c')
  })
  t.is(a.switch(), 'a ends')
  t.deepEqual(log, ['a', 'from a', 'from b', 'from c'])
  t.deepEqual([a.state, b.state, c.state], ['dead', 'suspended', 'suspended'])
})

test('switching to the current greenlet returns at once', (t) => {
  t.is(main.switch(1), 1)
  t.deepEqual(main.switch(1, 2), [1, 2])
  t.is(main.switch(), undefined)
  const g: Greenlet = new Greenlet(() => g.switch('me'))
  t.is(g.switch(), 'me')
})

test('a value that is sent to a dead greenlet goes to its parent', (t) => {
  const dead = new Greenlet(() => 'over')
  dead.switch()
  t.is(dead.switch(), undefined)
  t.is(dead.switch(25), 25)
  t.deepEqual(dead.switch(1, 2), [1, 2])

  const parent = new Greenlet(() => ['parent got', up()])
  parent.switch()
  dead.parent = parent
  t.deepEqual(dead.switch('x'), ['parent got', 'x'])
})

test('a value that is sent to a dead child starts its unstarted parent', (t) => {
  const seen: number[] = []
  const parent = new Greenlet(() => void seen.push(24))
  const child = new Greenlet(() => void seen.push(42))
  child.switch()
  child.parent = parent
  t.is(child.switch(), undefined)
  t.deepEqual(seen, [42, 24])
})

test('a greenlet that ends starts an unstarted parent with its result', (t) => {
  const parent = new Greenlet((x: number) => [x, 24])
  const child = new Greenlet(() => 42, { parent })
  t.deepEqual(child.switch(), [42, 24])
  t.true(parent.dead && child.dead)
})

test('an unstarted parent without parameters runs once', (t) => {
  let runs = 0
  const parent = new Greenlet(() => ++runs)
  t.is(new Greenlet(() => 42, { parent }).switch(), 1)
  t.is(runs, 1)
})

test('a switch works at any depth', (t) => {
  const dive = (depth: number): unknown => (depth === 0 ? up('bottom') : dive(depth - 1))
  const g = new Greenlet(dive)
  t.is(g.switch(5000), 'bottom')
  t.is(g.switch('back'), 'back')
})

test('two children are interleaved', (t) => {
  const log: number[] = []
  const run = (): void => {
    log.push(1)
    up()
    log.push(1, 1)
  }
  const [g, h] = [new Greenlet(run), new Greenlet(run)]
  const lengths = [g, h, h, g].map((next) => {
    next.switch()
    return log.length
  })
  t.deepEqual(lengths, [1, 2, 4, 6])
  t.true(g.dead && h.dead)
})

test('a greenlet can start another one', (t) => {
  const log: string[] = []
  const outer = new Greenlet(() => {
    log.push('a')
    new Greenlet(() => {
      log.push('b')
      up()
    }).switch()
    log.push('c')
  })
  outer.switch()
  t.deepEqual(log, ['a', 'b', 'c'])
})

test('a greenlet that starts in a catch block does not see the error', (t) => {
  const error = new Error('caught')
  const g = new Greenlet(() => {
    up('child')
    return 'end'
  })
  try {
    throw error
  } catch (caught) {
    t.is(g.switch(), 'child')
    t.is(caught, error)
  }
  t.is(g.switch(), 'end')
})

/** Sends and receives ten pairs of objects. Returns weak references to all but the last pair. */
function exchange(g: Greenlet): WeakRef<object>[] {
  const refs: WeakRef<object>[] = []
  for (let i = 0; i < 10; i++) {
    const args = [{}, {}]
    refs.push(...args.map((arg) => new WeakRef(arg)), new WeakRef(g.switch<object>(...args)))
  }
  // The last pair may still be on a stack, in a place that is no longer used.
  return refs.slice(0, -3)
}

test('arguments and results are not kept', async (t) => {
  const g = new Greenlet(() => {
    for (;;) up({})
  })
  g.switch()
  const refs = exchange(g)
  await collect()
  t.deepEqual(
    refs.filter((ref) => ref.deref() !== undefined),
    [],
  )
  g.kill()
})

test('a thousand greenlets take turns', (t) => {
  const all = Array.from({ length: 1000 }, (_, i) => new Greenlet(() => up(up(i))))
  t.is(
    all.reduce((sum, g) => sum + g.switch<number>(), 0),
    499_500,
  )
  t.is(
    all.reduce((sum, g) => sum + g.switch<number>(1), 0),
    1000,
  )
  for (const g of all) g.switch()
  t.true(all.every((g) => g.dead))
})

test('10,000 short greenlets one after another', (t) => {
  let sum = 0
  for (let i = 0; i < 10_000; i++) sum += new Greenlet((x: number) => x).switch<number>(i)
  t.is(sum, 49_995_000)
})

test('V8 calls native for a switch and a start without Node-API between: a function that Node-API makes has a prototype', (t) => {
  t.false(Object.hasOwn(thread.native.switch, 'prototype'))
  t.false(Object.hasOwn(thread.native.start, 'prototype'))
  t.true(Object.hasOwn(thread.native.capture, 'prototype'))
})
