// The variables of suspended greenlets: what is shown, and where it is refused.

import { createHook } from 'node:async_hooks'
import test from 'ava'
import { Greenlet, GreenletError, StaleFrameError } from '../js/index.ts'
import { type FrameLocals, locals, localsOf, type Preview } from '../js/inspect/index.ts'
import { calling, jspi } from './helpers/wasm.ts'

const main = Greenlet.main

/** The variables of a frame's own scopes, by name. */
function own({ scopes }: FrameLocals): Record<string, Preview> {
  const inner = scopes.filter(({ kind }) => kind === 'local' || kind === 'block' || kind === 'catch')
  return Object.assign({}, ...inner.toReversed().map(({ variables }) => variables)) as Record<string, Preview>
}

/** Suspends `run` and reads its innermost frame. */
function read(run: () => unknown, options = {}): FrameLocals {
  const g = new Greenlet(run)
  g.switch()
  const found = locals(g.gr_frame!, options)
  g.kill()
  return found
}

test('each frame has its own variables, its closures and its this', (t) => {
  class Job {
    readonly id = 7
    work(part: number): number {
      const label = `part ${part}`
      let total = 0
      {
        const inBlock = [part, part * 2]
        total += [1].map(function each(unit) {
          return unit + inBlock.length + (main.switch(label) as number)
        })[0]!
      }
      return total
    }
  }
  const g = new Greenlet(function outer() {
    return new Job().work(5)
  })
  t.is(g.switch(), 'part 5')
  const epoch = g.gr_stack.epoch
  const [each, map, work, outer] = localsOf(g) as [FrameLocals, FrameLocals, FrameLocals, FrameLocals]
  t.is(g.gr_stack.epoch, epoch, 'it was not resumed')

  t.deepEqual(
    [each, map, work, outer].map(({ frame }) => frame.functionName),
    ['each', 'map', 'work', 'outer'],
  )
  t.deepEqual(own(each)['unit'], { type: 'number', text: '1', value: 1 })
  const closure = each.scopes.find(({ kind }) => kind === 'closure' || kind === 'block')
  t.is(closure?.variables['inBlock']?.text, '[ 5, 10 ]')
  t.deepEqual([map.this, map.scopes], [null, []])
  t.is(work.this?.text, 'Job { id: 7 }')
  t.deepEqual(own(work)['label'], { type: 'string', text: "'part 5'", value: 'part 5' })
  t.deepEqual(own(work)['part']?.value, 5)
  t.true(work.scopes.every(({ more }) => more === 0))
  t.deepEqual(locals(g.gr_stack[2]!), work)
  t.is(g.switch(10), 13)
})

test('a variable whose line has not run is unavailable or undefined', (t) => {
  const { later } = own(
    read(() => {
      main.switch()
      const later = 1
      return later
    }),
  )
  t.regex(later!.text, /^(?:undefined|<unavailable>)$/)
})

test('main is read while a greenlet runs', (t) => {
  const secret = 'of main'
  const g = new Greenlet(() => {
    const frame = main.gr_stack.find(({ functionName }) => functionName === null || functionName !== 'switch')!
    return own(locals(frame))['secret']?.value
  })
  t.is(g.switch(), secret)
})

test('values are shown as the console shows them, within bounds', (t) => {
  const cycle: Record<string, unknown> = { name: 'ring' }
  cycle['self'] = cycle
  const values: [unknown, string, string][] = [
    [undefined, 'undefined', 'undefined'],
    [null, 'null', 'null'],
    [-0, 'number', '-0'],
    [10n, 'bigint', '10n'],
    [2n ** 600n, 'bigint', '[bigint of more than 512 bits]'],
    [Symbol('s'), 'symbol', 'Symbol(s)'],
    ["it's", 'string', `"it's"`],
    ['line\n', 'string', '"line\\n"'],
    [Object.assign([1], { length: 2 }), 'array', '[ 1, <empty> ]'],
    [[[[[1]]]], 'array', '[ [ [Array] ] ]'],
    [cycle, 'object', "{ name: 'ring', self: [Circular] }"],
    [Object.create(null), 'object', '[null prototype] {}'],
    [{ 'a-b': 1, [Symbol('k')]: 2 }, 'object', "{ 'a-b': 1, [Symbol(k)]: 2 }"],
    [new Map([[{ a: 1 }, 'b']]), 'map', "Map(1) { { a: 1 } => 'b' }"],
    [new Set(['x']), 'set', "Set(1) { 'x' }"],
    [new Date(0), 'date', '1970-01-01T00:00:00.000Z'],
    [new Date(Number.NaN), 'date', 'Invalid Date'],
    [/a+/gi, 'regexp', '/a+/gi'],
    [new TypeError('no'), 'error', '[TypeError: no]'],
    [new Uint8Array(2), 'typedarray', 'Uint8Array(2) [ 0, 0 ]'],
    [new ArrayBuffer(8), 'object', 'ArrayBuffer { byteLength: 8 }'],
    [Promise.resolve(), 'promise', 'Promise {}'],
    [class Foo {}, 'function', '[class Foo]'],
    [function bar() {}, 'function', '[function bar]'],
    [Array.from({ length: 1e6 }), 'array', `[ ${'undefined, '.repeat(20)}... 999980 more ]`],
    [Object('z'.repeat(1e6)), 'object', `[String: '${'z'.repeat(200)}'... 999800 more characters]`],
    [Object(3), 'object', '[Number: 3]'],
    [Object(true), 'object', '[Boolean: true]'],
    [Object(7n), 'object', '[BigInt: 7n]'],
    [Object(Symbol('s')), 'object', '[Symbol: Symbol(s)]'],
    ['a\u009b31m\u007f', 'string', String.raw`'a\x9b31m\x7f'`],
    [{ '\u009b': '\u202e' }, 'object', String.raw`{ '\x9b': '\u202e' }`],
    [[Symbol('\u001b'), new Error('\u001b\n')], 'array', String.raw`[ Symbol(\x1b), [Error: \x1b\n] ]`],
    [new RegExp(String.fromCharCode(27)), 'regexp', String.raw`/\x1b/`],
    [Object.defineProperty(() => {}, 'name', { value: '\u001b' }), 'function', String.raw`[function \x1b]`],
    ['y'.repeat(1e6), 'string', `'${'y'.repeat(200)}'... 999800 more characters`],
  ]
  for (const [value, type, text] of values) {
    const { shown } = own(
      read(() => {
        const shown = value
        main.switch()
        return shown
      }),
    )
    t.deepEqual([shown!.type, shown!.text], [type, text])
    t.is(shown!.cut, /more|\[Array\]/.test(text) ? true : undefined, text)
  }
})

test('options bound what is read', (t) => {
  const depth = (n: number): unknown => (n === 0 ? main.switch() : depth(n - 1))
  const g = new Greenlet(() => depth(9))
  g.switch()
  t.is(localsOf(g, { limit: 3 }).length, 3)
  t.is(localsOf(g, { limit: 0 }).length, 0)
  t.is(localsOf(g).length, g.gr_stack.length)
  g.kill()
  t.deepEqual(localsOf(g), [])

  const found = read(
    () => {
      const [a, b, c] = [['abcdef'], { deep: { er: 1 } }, [1, 2, 3]]
      main.switch()
      return [a, b, c]
    },
    { characters: 3, items: 2, depth: 1, variables: 2 },
  )
  const { a, b } = own(found)
  t.is(a?.text, "[ 'abc'... 3 more characters ]")
  t.is(b?.text, '{ deep: [Object] }')
  t.is(found.scopes[0]!.more, 1)
})

test('variables of which the names are cut to the same text are all there, and the cut is told', (t) => {
  const v = 'v'.repeat(100)
  // oxlint-disable-next-line no-implied-eval, no-new-func -- names of any length
  const make = new Function(
    'main',
    `
    return function f${v}() { var ${v}1 = 1, ${v}2 = 2, ${v} = 3, ${v}34 = 4, ${v}5 = 5; main.switch() }`,
  ) as (main: Greenlet) => () => void
  const found = read(make(main))
  t.deepEqual(
    Object.entries(own(found)).map(([name, { value }]) => [name.replace(v, 'v'), value]),
    [
      ['v... 1 more characters', 1],
      ['v... 1 more characters (2)', 2],
      ['v', 3],
      ['v... 2 more characters', 4],
      ['v... 1 more characters (3)', 5],
    ],
  )
  t.is(found.scopes[0]!.more, 0)
  t.is(found.scopes[0]!.name, `f${'v'.repeat(99)}... 1 more characters`)
})

test('names are without control characters, `items` may be many, and before super() there is no this', (t) => {
  // oxlint-disable-next-line no-implied-eval, no-new-func -- modules have no `with`
  const inWith = new Function('main', 'object', 'with (object) main.switch()') as (...args: unknown[]) => void
  const object = { '\u009b': 1, [String.raw`\x9b`]: 2, [String.raw`\x9b (2)`]: 3 }
  const { variables } = read(() => inWith(main, object)).scopes.find(({ kind }) => kind === 'with')!
  t.deepEqual(
    Object.entries(variables).map(([name, { text }]) => `${name} ${text}`),
    [String.raw`\x9b 1`, String.raw`\x9b (2) 2`, String.raw`\x9b (2) (2) 3`],
  )

  const { many, unique, pairs, nested } = own(
    read(
      () => {
        const many = Array.from({ length: 1001 }, () => 0)
        const unique = new Set(many.keys())
        const pairs = new Map(many.entries())
        const nested = Array.from({ length: 1001 }, () => new Set([1, 2]))
        main.switch()
        return [many, unique, pairs, nested]
      },
      { items: 1000 },
    ),
  )
  for (const { text } of [many!, unique!, pairs!]) t.regex(text, /(?:[^,]+, ){1000}\.\.\. 1 more [\]}]$/)
  t.true(nested!.text.length < 20_000, 'all values of a preview are counted')

  class Base {}
  class Derived extends Base {
    constructor() {
      main.switch()
      super()
      main.switch()
    }
  }
  const g = new Greenlet(() => new Derived())
  g.switch()
  t.is(locals(g.gr_frame!).this, null)
  g.switch()
  t.is(locals(g.gr_frame!).this?.text, 'Derived {}')
  g.switch()
})

test('wrong arguments are refused', (t) => {
  const g = new Greenlet(() => main.switch())
  g.switch()
  const frame = g.gr_frame!
  const invalid = { code: 'ERR_GREENLET_INVALID_ARG' }
  t.throws(() => locals(frame.detach() as never), {
    ...invalid,
    message: /not an instance of DetachedFrame; the variables/,
  })
  t.throws(() => locals(null as never), invalid)
  t.throws(() => localsOf(frame as never), invalid)
  t.throws(() => locals(frame, { depth: 1.5 }), invalid)
  t.throws(() => locals(frame, { limit: 1 } as never), { ...invalid, message: /no option 'limit'/ })
  g.switch()
  t.throws(() => locals(frame), { instanceOf: StaleFrameError })
})

test('a stack is not read inside of a promising wasm call, or in an async hook of a switch', async (t) => {
  const g = new Greenlet(() => main.switch())
  g.switch()
  const refused = { instanceOf: GreenletError, code: 'ERR_GREENLET_FORBIDDEN' }
  let read = 0
  const tryIt = (): number => {
    t.throws(() => locals(g.gr_frame!), refused)
    return ++read
  }
  if (jspi !== undefined) await jspi.promising(calling(tryIt))()
  const before = read
  const hook = createHook({ after: () => void (read === before && tryIt()) })
  const other = new Greenlet(() => {
    hook.enable()
    main.switch()
  })
  other.switch()
  hook.disable()
  t.is(read, before + 1)
  t.is(localsOf(g).length, g.gr_stack.length)
  g.kill()
  other.kill()
})

test('errors are GreenletErrors', (t) => {
  const g = new Greenlet(() => main.switch())
  g.switch()
  let error: unknown
  const late = new Greenlet(() => {
    const fill = (): number => {
      try {
        return fill() + 1
      } catch {
        try {
          locals(g.gr_frame!)
        } catch (caught) {
          error ??= caught
        }
        return 0
      }
    }
    fill()
  })
  late.switch()
  t.true(error === undefined || error instanceof GreenletError || error instanceof RangeError)
  t.is(locals(g.gr_frame!).frame.functionName, g.gr_frame!.functionName)
  g.kill()
})

test('variables are not read while Object.prototype has a toJSON, with which the inspector does not work', (t) => {
  const g = new Greenlet(() => main.switch())
  g.switch()
  const frame = g.gr_frame!
  Object.defineProperty(Object.prototype, 'toJSON', { value: () => undefined, configurable: true })
  let error: unknown
  try {
    locals(frame)
  } catch (thrown) {
    error = thrown
  } finally {
    delete (Object.prototype as { toJSON?: unknown }).toJSON
  }
  t.is((error as GreenletError).code, 'ERR_GREENLET_NO_LOCALS')
  t.true(locals(frame).scopes.length > 0)
  g.kill()
})
