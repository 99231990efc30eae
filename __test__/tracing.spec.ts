import test from 'ava'
import { Greenlet, GreenletExit, gettrace, settrace, sleep, spawn, type TraceFunction } from '../js/index.ts'

const main = Greenlet.main

/** The events while `body` runs, such as 'switch main > a'. */
function traced(body: () => void): string[] {
  const events: string[] = []
  const previous = settrace((event, { origin, target }) => events.push(`${event} ${origin.name} > ${target.name}`))
  try {
    body()
  } finally {
    settrace(previous)
  }
  return events
}

test.afterEach(() => settrace(null))

test.serial('the trace function is called after every switch, with the origin and the target', (t) => {
  const a = new Greenlet(() => b.switch(), { name: 'a' })
  const b = new Greenlet(() => main.switch(), { name: 'b' })
  t.deepEqual(
    traced(() => a.switch()),
    ['switch main > a', 'switch a > b', 'switch b > main'],
  )
  settrace((_, { target }) => t.is(target, Greenlet.current))
  b.switch()
  t.true(b.dead)
})

test.serial('the end of a greenlet is a switch to the parent, or a throw if it ended with an error', (t) => {
  const good = new Greenlet(() => 1, { name: 'good' })
  const bad = new Greenlet(
    () => {
      throw new Error('no')
    },
    { name: 'bad' },
  )
  const events = traced(() => {
    good.switch()
    t.throws(() => bad.switch(), { message: 'no' })
  })
  t.deepEqual(events, ['switch main > good', 'switch good > main', 'switch main > bad', 'throw bad > main'])
})

test.serial('throw() is a throw event, and a GreenletExit that ends a greenlet is a switch event', (t) => {
  const g = new Greenlet(() => main.switch(), { name: 'g' })
  g.switch()
  const events = traced(() => t.true(g.throw() instanceof GreenletExit))
  t.deepEqual(events, ['throw main > g', 'switch g > main'])
})

test.serial('kill() is a throw event, also for an unstarted greenlet', (t) => {
  const events = traced(() => {
    const started = new Greenlet(() => main.switch(), { name: 'started' })
    started.switch()
    started.kill()
    const unstarted = new Greenlet(() => t.fail(), { name: 'unstarted' })
    unstarted.kill()
    t.true(started.dead && unstarted.dead)
  })
  t.deepEqual(events.slice(2), [
    'throw main > started',
    'switch started > main',
    'throw main > unstarted',
    'switch unstarted > main',
  ])
})

test.serial('an error for an unstarted greenlet starts it, as in Python, and ends it', (t) => {
  const parent = new Greenlet(() => t.fail(), { name: 'parent' })
  const child = new Greenlet(() => t.fail(), { name: 'child', parent })
  const events = traced(() => t.throws(() => child.throw(new Error('no')), { message: 'no' }))
  t.deepEqual(events, ['throw main > child', 'throw child > parent', 'throw parent > main'])
  t.true(parent.dead && child.dead)
})

test.serial("a switch to oneself, or to one's own dead child, is an event", (t) => {
  const dead = new Greenlet(() => {})
  dead.switch()
  const events = traced(() => {
    main.switch()
    dead.switch()
    t.throws(() => dead.throw(new Error('no')))
  })
  t.deepEqual(events, ['switch main > main', 'switch main > main', 'throw main > main'])
})

test.serial('wait() and sleep() are switches to main and back', async (t) => {
  const events: string[] = []
  settrace((event, { origin, target }) => events.push(`${event} ${origin.name} > ${target.name}`))
  await spawn(function sleeper() {
    sleep(1)
  })
  settrace(null)
  const there = 'switch main > sleeper'
  const back = 'switch sleeper > main'
  t.deepEqual(events, [there, back, there, back])
})

test.serial('settrace() returns the previous function, and gettrace() the current one', (t) => {
  const [first, second]: [TraceFunction, TraceFunction] = [() => {}, () => {}]
  t.is(gettrace(), null)
  t.is(settrace(first), null)
  t.is(gettrace(), first)
  t.is(settrace(second), first)
  t.is(settrace(second), second)
  t.is(settrace(null), second)
  t.is(gettrace(), null)
  t.throws(() => settrace('switch' as never), { instanceOf: TypeError, code: 'ERR_GREENLET_INVALID_ARG' })
})

test.serial('a trace function that throws is unset, and its error replaces the value of the switch', (t) => {
  let calls = 0
  const failing = (): never => {
    calls++
    throw new Error(`trace ${calls}`)
  }
  const caught: unknown[] = []
  const g = new Greenlet(() => {
    try {
      main.switch('parked')
    } catch (error) {
      caught.push((error as Error).message)
    }
    return 'end'
  })
  g.switch()

  settrace(failing)
  t.is(g.switch('lost'), 'end')
  t.is(gettrace(), null)
  t.deepEqual([caught, calls], [['trace 1'], 1])

  // The error is thrown on the way back, and at a start. There the function does not run, and the error goes to the parent.
  settrace(failing)
  t.throws(() => main.switch(), { message: 'trace 2' })
  settrace(failing)
  t.throws(() => new Greenlet(() => t.fail()).switch(), { message: 'trace 3' })
  t.deepEqual([gettrace(), calls], [null, 3])
})

test.serial('a trace function may switch, and the value of the first switch is not lost', (t) => {
  const helper = new Greenlet(() => {
    for (;;) main.switch('from the helper')
  })
  helper.switch()
  const seen: unknown[] = []
  let inside = false
  const g = new Greenlet((x) => [x, main.switch('first')])
  settrace((_, { target }) => {
    if (inside || target !== main) return
    inside = true
    seen.push(helper.switch('to the helper'))
    inside = false
  })
  t.is(g.switch('in'), 'first')
  t.deepEqual(g.switch('second'), ['in', 'second'])
  t.deepEqual(seen, ['from the helper', 'from the helper'])
})
