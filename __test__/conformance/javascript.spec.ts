// Features that only JavaScript has: each of these is a place that `await` or `yield` cannot leave, or a guarantee of
// JavaScript that a switch must not break.

import { runInNewContext } from 'node:vm'
import { Greenlet, GreenletExit, spawn, wait } from '../../js/index.ts'
import { leakcheck } from '../helpers/leakcheck.ts'
import { turn } from '../helpers/promises.ts'

const { main } = Greenlet

/** Switches to main and returns the answer. May be called anywhere. */
const ask = (question: unknown): never => main.switch(question) as never

/** Runs `body` in a greenlet and answers each question with `answer`. Returns the questions and the result. */
function asked(body: () => unknown, answer: (question: never) => unknown): { asked: unknown[]; result: unknown } {
  const g = new Greenlet(body)
  const questions: unknown[] = []
  for (let value = g.switch(); ; value = g.switch(answer(value as never))) {
    if (g.dead) return { asked: questions, result: value }
    questions.push(value)
  }
}

leakcheck(
  'J1 native_generator: a generator switches between its yields, and is the same generator in every greenlet',
  (t) => {
    function* numbers(): Generator<number> {
      for (let i = 0; i < 3; i++) yield i + ask(i)
    }
    const { asked: questions, result } = asked(
      () => [...numbers()],
      (i: number) => i * 10,
    )
    t.deepEqual(questions, [0, 1, 2])
    t.deepEqual(result, [0, 11, 22])

    // It counts as running everywhere while it is suspended in a greenlet.
    const shared = numbers()
    const g = new Greenlet(() => shared.next().value)
    g.switch()
    t.throws(() => shared.next(), { instanceOf: TypeError, message: /already running/ })
    t.is(g.switch(5), 5)
    const other = new Greenlet(() => shared.next().value)
    other.switch()
    t.is(other.switch(5), 6, 'resumed in another greenlet')
  },
)

leakcheck(
  'J2 async_function: an async function runs in the greenlet up to its first await, and on main from there',
  async (t) => {
    const log: unknown[] = []
    const work = async (): Promise<string> => {
      log.push(Greenlet.current === g, ask('before'))
      await Promise.resolve()
      log.push(Greenlet.current === main)
      return 'result'
    }
    const g: Greenlet = new Greenlet(() => work())
    t.is(g.switch(), 'before')
    const promise = g.switch<Promise<string>>('answer')
    t.true(g.dead)
    t.deepEqual(log, [true, 'answer'])
    t.is(await promise, 'result')
    t.deepEqual(log, [true, 'answer', true])
  },
)

leakcheck('J3 proxy_traps: traps, getters, setters and instanceof switch', (t) => {
  const target: Record<string, unknown> = {}
  const proxy = new Proxy(target, {
    get: (_, key) => ask(`get ${String(key)}`),
    set: (object, key, value) => Reflect.set(object, key, ask(`set ${String(key)} ${value}`)),
    has: (_, key) => ask(`has ${String(key)}`),
    deleteProperty: (_, key) => ask(`delete ${String(key)}`),
    ownKeys: () => ask('keys'),
  })
  const callable = new Proxy(function target() {}, {
    apply: (_, self, args) => ask(`apply ${self} ${args}`),
    construct: () => ask('construct'),
  })
  class Kind {
    static [Symbol.hasInstance](value: unknown): boolean {
      return ask(`instanceof ${value}`)
    }
    get x(): number {
      return ask('getter')
    }
  }
  const made = {}
  const answers: Record<string, unknown> = {
    'get a': 1,
    'set b 2': 3,
    'has c': true,
    'delete d': true,
    keys: [],
    'apply 7 8,9': 10,
    construct: made,
    'instanceof 5': true,
    getter: 6,
  }
  const { asked: questions, result } = asked(
    () => [
      proxy['a'],
      (proxy['b'] = 2),
      'c' in proxy,
      delete proxy['d'],
      Object.keys(Object.create(null)).length + Reflect.ownKeys(new Proxy({}, { ownKeys: () => ask('keys') })).length,
      Reflect.apply(callable, 7, [8, 9]),
      Reflect.construct(callable, []) === made,
      (5 as unknown) instanceof Kind,
      new Kind().x,
    ],
    (question: string) => answers[question],
  )
  t.deepEqual(questions, Object.keys(answers))
  t.deepEqual(result, [1, 2, true, true, 0, 10, true, true, 6])
  t.is(target['b'], 3)
})

leakcheck('J4 iteration: iterators switch, and are closed if an error leaves the loop', (t) => {
  const log: unknown[] = []
  const iterable = {
    [Symbol.iterator]: () => ({
      next: () => ({ done: false, value: ask('next') as number }),
      return: () => {
        log.push(`return ${ask('return')}`)
        return { done: true as const, value: undefined }
      },
    }),
  }
  const first = asked(
    () => {
      for (const x of iterable) if (x > 1) return x
      return 'never'
    },
    (question: string) => (question === 'return' ? 'answer' : 2),
  )
  t.deepEqual([first.asked, first.result, log], [['next', 'return'], 2, ['return answer']])

  const destructured = asked(
    () => {
      const [a, , b] = iterable
      return [a, b]
    },
    () => 7,
  )
  t.deepEqual(destructured.asked, ['next', 'next', 'next', 'return'])
  t.deepEqual(destructured.result, [7, 7])

  // kill() inside of the loop: the loop is left by an error, so its iterator is closed, and closing may switch once more.
  log.length = 0
  const g = new Greenlet(() => {
    for (const x of iterable) ask(`body ${x}`)
  })
  t.is(g.switch(), 'next')
  t.is(g.switch(1), 'body 1')
  t.is(g.throw(), 'return')
  t.true(g.switch('last words') instanceof GreenletExit)
  t.deepEqual(log, ['return last words'])
  t.true(g.dead)
})

leakcheck(
  'J5 finally_return: a finally block that returns overrides GreenletExit, and one that switches delays it',
  (t) => {
    const g = new Greenlet(() => {
      try {
        ask('waiting')
      } finally {
        // oxlint-disable-next-line no-unsafe-finally -- this is what the test is about
        return 'overridden'
      }
    })
    g.switch()
    t.is(g.throw(), 'overridden')
    t.true(g.dead)

    const log: unknown[] = []
    const slow = new Greenlet(() => {
      label: try {
        ask('waiting')
      } finally {
        log.push(ask('in finally'))
        // oxlint-disable-next-line no-unsafe-finally
        break label
      }
      return 'after'
    })
    slow.switch()
    t.is(slow.throw(new RangeError('lost')), 'in finally')
    t.is(slow.switch(1), 'after')
    t.deepEqual(log, [1])
  },
)

leakcheck('J6 callbacks: the callbacks of arrays, maps, strings and regular expressions switch', (t) => {
  const { asked: questions, result } = asked(
    () => [
      [1, 2].map((x) => ask(['map', x])),
      [3, 4].filter((x) => ask(['filter', x])),
      [5, 6].reduce((sum, x) => sum + ask(['reduce', x]), 0),
      [2, 1].sort((a, b) => ask(['sort', a - b])),
      [7].flatMap((x) => ask(['flatMap', x])),
      Array.from({ length: 1 }, (_, i) => ask(['from', i])),
      Float64Array.of(8).map((x) => ask(['typed', x])),
      'abc'.replace(/b/, (match) => ask(['replace', match])),
      'abc'.replaceAll('c', (match) => ask(['replaceAll', match])),
      (new Map([[1, 2]]).forEach((value, key) => ask(['forEach', key + value])), 'done'),
    ],
    ([kind, value]: [string, number | string]) => (kind === 'filter' ? value === 4 : value),
  )
  t.deepEqual(
    (questions as [string, unknown][]).map(([kind]) => kind),
    'map map filter filter reduce reduce sort flatMap from typed replace replaceAll forEach'.split(' '),
  )
  t.deepEqual(result, [[1, 2], [4], 11, [1, 2], [7], [0], Float64Array.of(8), 'abc', 'abc', 'done'])
})

leakcheck('J7 json: toJSON, replacer and reviver switch, in two greenlets at once', (t) => {
  const text = (name: string): string =>
    JSON.stringify({ a: { toJSON: () => ask(`${name} toJSON`) }, b: [1] }, (key, value) =>
      key === '0' ? ask(`${name} replacer`) : value,
    )
  const value = (name: string): unknown =>
    JSON.parse('{"c":[1,2]}', (key, parsed) => (key === '1' ? ask(`${name} reviver`) : parsed))
  const [g, h] = ['g', 'h'].map((name) => new Greenlet(() => [text(name), value(name)])) as [Greenlet, Greenlet]
  t.is(g.switch(), 'g toJSON')
  t.is(h.switch(), 'h toJSON')
  // Not in the order in which they started.
  t.is(g.switch('x'), 'g replacer')
  t.is(h.switch('y'), 'h replacer')
  t.is(g.switch(10), 'g reviver')
  t.is(h.switch(20), 'h reviver')
  t.deepEqual(g.switch(3), ['{"a":"x","b":[10]}', { c: [1, 3] }])
  t.deepEqual(h.switch(4), ['{"a":"y","b":[20]}', { c: [1, 4] }])
})

leakcheck('J8 classes: constructors switch before super(), in fields, and know their new.target afterwards', (t) => {
  class Base {
    readonly x: unknown
    readonly target: unknown
    constructor(x: unknown) {
      this.x = x
      ask('base')
      this.target = new.target
    }
  }
  class Derived extends Base {
    field = ask('field')
    constructor() {
      super(ask('before super'))
      ask('after super')
    }
    method(): unknown {
      return ask('method')
    }
  }
  class Most extends Derived {
    override method(): unknown {
      return [super.method(), ask('most')]
    }
    static {
      // Runs where the class is defined, which is on main.
      this.prototype.toString = () => 'most'
    }
  }
  const { asked: questions, result } = asked(
    () => {
      const most = new Most()
      return [most.x, most.field, most.target === Most, most.method(), String(most)]
    },
    (question: string) => question.length,
  )
  t.deepEqual(questions, ['before super', 'base', 'field', 'after super', 'method', 'most'])
  t.deepEqual(result, [12, 5, true, [6, 4], 'most'])
})

leakcheck('J9 tags_and_coercions: tags, conversions to primitives, default values and spreads switch', (t) => {
  const tag = (strings: TemplateStringsArray, ...values: unknown[]): string =>
    strings.raw + ask(values) + strings.length
  const primitive = { [Symbol.toPrimitive]: (hint: string) => ask(hint) }
  const spread = {
    get spread() {
      return ask('spread')
    },
  }
  const withDefault = ({ a = ask('default') as number } = {}): number => a
  const { asked: questions, result } = asked(
    () => [
      tag`a${1}b`,
      `${primitive}`,
      +primitive,
      (primitive as never) + '',
      withDefault(),
      { ...spread },
      ask('optional')?.['x'],
    ],
    (question: unknown) => (question === 'optional' ? null : 1),
  )
  t.deepEqual(questions, [[1], 'string', 'number', 'default', 'default', 'spread', 'optional'])
  t.deepEqual(result, ['a,b12', '1', 1, '1', 1, { spread: 1 }, undefined])
})

leakcheck('J10 eval: evaluated code, new Function and code of another context switch', (t) => {
  const { asked: questions, result } = asked(
    () => [
      // oxlint-disable-next-line no-eval -- direct, with the local scope
      eval('ask("eval") + 1'),
      new Function('ask', 'return ask("function") + 1')(ask),
      runInNewContext('[1].map(() => ask("context") + 1)[0]', { ask }),
    ],
    () => 1,
  )
  t.deepEqual(questions, ['eval', 'function', 'context'])
  t.deepEqual(result, [2, 2, 2])

  const g = new Greenlet(() => new Function('ask', 'return ask()')(ask))
  g.switch()
  t.true(g.gr_stack.some((frame) => frame.isEval))
  g.kill()
})

leakcheck(
  'J11 thenables: promise executors and then() switch; reactions run on main; wait() takes any thenable',
  async (t) => {
    const { asked: questions, result } = asked(
      () => {
        const order = [ask('outside')]
        new Promise(() => order.push(ask('executor')))
        return order
      },
      (question: string) => question,
    )
    t.deepEqual(questions, ['outside', 'executor'])
    t.deepEqual(result, ['outside', 'executor'])

    const log: unknown[] = []
    const g = new Greenlet(() => {
      void Promise.resolve().then(() => log.push(['reaction', Greenlet.current === main]))
      ask('suspended')
      log.push('resumed')
    })
    g.switch()
    await Promise.resolve()
    t.deepEqual(log, [['reaction', true]], 'while the greenlet that made it is suspended')
    g.switch()
    t.is(log.at(-1), 'resumed')

    const thenable = {
      // oxlint-disable-next-line no-thenable
      then: (resolve: (value: string) => void) => void setImmediate(resolve, 'from a thenable'),
    }
    t.is(await spawn(() => wait(thenable)), 'from a thenable')
    await turn()
  },
)

leakcheck('J12 dispose: a greenlet is disposable, and so ends with the block that used it', (t) => {
  const log: string[] = []
  // As the compiler writes `using g = ...`.
  const use = (body: (g: Greenlet) => void): void => {
    const g = new Greenlet(() => {
      try {
        ask('waiting')
      } finally {
        log.push('finally')
      }
    })
    try {
      body(g)
    } finally {
      g[Symbol.dispose]()
      log.push(g.state)
    }
  }
  use((g) => g.switch())
  t.deepEqual(log.splice(0), ['finally', 'dead'])
  use(() => {})
  t.deepEqual(log.splice(0), ['dead'], 'it has never run')
  const error = new Error('in the block')
  t.is(
    t.throws(() =>
      use((g) => {
        g.switch()
        throw error
      }),
    ),
    error,
  )
  t.deepEqual(log.splice(0), ['finally', 'dead'])
})

leakcheck(
  'J13 stack_traces: an error has the frames of its own greenlet, and obeys the settings of the program',
  (t) => {
    const stackOf = (body: () => unknown): string => {
      const g = new Greenlet(body)
      g.switch()
      return (g.switch() as Error).stack!
    }
    const stack = stackOf(function outermost() {
      ask('first')
      return (function innermost() {
        return new Error('here')
      })()
    })
    const functions = [...stack.matchAll(/^ {4}at (?:Greenlet\.)?(\w+)/gm)].map(([, name]) => name)
    t.deepEqual(functions.slice(0, 2), ['innermost', 'outermost'])
    // V8 adds the async callers of the running job, which depend on the caller.
    const own = stack.split('\n').filter((line) => !line.includes('at async '))
    t.false(
      own.some((line) => /stackOf|leakcheck/.test(line)),
      'nothing of main',
    )

    const captured: { stack?: string } = {}
    const g = new Greenlet(function capturing() {
      Error.captureStackTrace(captured, ask)
      ask('then')
    })
    const { prepareStackTrace, stackTraceLimit } = Error
    try {
      Error.stackTraceLimit = 1
      let prepared = 0
      Error.prepareStackTrace = () => `prepared ${++prepared}`
      g.switch()
      t.is(captured.stack, 'prepared 1')
      // A snapshot neither obeys these nor changes them.
      t.true(g.gr_stack.length >= 2)
      t.is(prepared, 1)
      // Its text is made with the program's function, which may know source maps. What is no stack of these frames is not used.
      t.is(String(g.gr_stack).split('\n').length, g.gr_stack.length)
      t.is(Error.stackTraceLimit, 1)
    } finally {
      Error.prepareStackTrace = prepareStackTrace
      Error.stackTraceLimit = stackTraceLimit
      g.kill()
    }
  },
)
