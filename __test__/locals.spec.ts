// The variables of suspended greenlets: what is shown, that nothing of the program runs or stays alive, and where it is refused.

import { createHook } from 'node:async_hooks'
import test from 'ava'
import { Greenlet, GreenletError, StaleFrameError } from '../js/index.ts'
import { type FrameLocals, locals, localsOf, type Preview } from '../js/inspect/index.ts'
import { printed, runProgram } from './helpers/program.ts'
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

test('no code of the program runs, and switching goes on as before', async (t) => {
  const ending = await runProgram(`
    const { localsOf } = await import('./js/inspect/index.ts')
    const vm = await import('node:vm')
    const touched = []
    const touch = (what) => { touched.push(what); throw new Error(what) }
    class Rude extends Error {
      get stack() { return touch('stack') }
      get message() { return touch('message') }
      get name() { return touch('name') }
      get [Symbol.toStringTag]() { return touch('tag') }
      static get name() { return touch('class name') }
      [Symbol.for('nodejs.util.inspect.custom')]() { return touch('inspect') }
      toJSON() { return touch('toJSON') }
    }
    class Day extends Date { toString() { return touch('toString') } [Symbol.toPrimitive]() { return touch('primitive') } }
    const handler = new Proxy({}, { get: (_, trap) => () => touch(trap) })
    const { proxy: revoked, revoke } = Proxy.revocable({}, {})
    revoke()
    function victim(rude, day, proxy, gone, inherits, getter) {
      const pattern = Object.defineProperty(/x/g, 'flags', { get: () => touch('flags') })
      main.switch()
      return [rude, day, proxy, gone, inherits, getter, pattern]
    }
    const proxy = new Proxy({}, handler)
    const inherits = Object.create(proxy)
    const getter = { get boom() { return touch('boom') } }
    const make = () => {
      const g = new Greenlet(() => [new Rude(), new Day(0), proxy, revoked, getter].forEach((self) => victim.call(self, new Rude(), new Day(0), proxy, revoked, inherits, getter)))
      g.switch()
      return g
    }
    const g = make()
    touched.length = 0 // an error's own message is made when the error is
    const text = []
    for (let i = 0; i < 5; i++) {
      const [{ this: self, scopes }] = localsOf(g)
      text.push(self.text)
      if (i === 0) console.log(Object.entries(scopes[0].variables).map(([name, { text }]) => name + ' ' + text).join('\\n'))
      g.switch()
    }
    console.log(text.join(' '), touched.length, g.dead)

    // Code of another realm, with lines of its own, and evaluated code.
    const sandbox = vm.createContext({ park: () => main.switch() })
    const foreign = vm.runInContext('(function there(a) { const own = [a]; park(); return own })', sandbox, { lineOffset: -3, columnOffset: 7 })
    const f = new Greenlet(() => foreign(5))
    f.switch()
    console.log(localsOf(f).slice(1).map(({ frame, scopes }) => frame.functionName + ' ' + scopes[0]?.variables.own?.text).join(', '))
    const e = new Greenlet(new Function('main', 'const x = 3; eval("let y = 4; main.switch(); y"); return x').bind(null, main))
    e.switch()
    const inEval = localsOf(e).flatMap(({ scopes }) => scopes.flatMap(({ variables }) => ['x', 'y'].filter((name) => name in variables).map((name) => name + variables[name].text)))
    console.log([...new Set(inEval)].sort().join())

    f.switch()
    e.switch()
    console.log(f.dead, e.dead)
  `)
  t.deepEqual(
    ending,
    printed(`rude [Error]
day 1970-01-01T00:00:00.000Z
proxy [Proxy]
gone [Proxy]
inherits {}
getter { boom: [Getter] }
pattern /x/g
[Error] 1970-01-01T00:00:00.000Z [Proxy] [Proxy] { boom: [Getter] } 0 true
there [ 5 ], null undefined
x3,y4
true true
`),
  )
})

test('a Proxy that is the sandbox of a vm context is never asked', async (t) => {
  const ending = await runProgram(`
    import vm from 'node:vm'
    const { localsOf } = await import('./js/inspect/index.ts')
    const traps = []
    const handler = new Proxy({}, { get: (_, trap) => (...args) => (traps.push(trap + ' ' + String(args[1])), Reflect[trap](...args)) })
    const sandbox = new Proxy({ secret: 1 }, handler)
    const context = vm.createContext(sandbox)
    const global = vm.runInContext('this', context)
    const inside = vm.runInContext(\`(function top(global, inherits, park) {
      const list = [global], own = { deep: { global } }, keys = { global: [[global]] }
      return (function inner() {
        with (global) { this() } // a name would be looked up in the sandbox
        return [list, own, keys, inherits]
      }).call(park)
    })\`, context)
    const inherits = Object.create(global)
    const plain = vm.runInContext('this', vm.createContext({ get boom() { traps.push('getter') } }))
    const symbol = Symbol('x')
    const g = new Greenlet(() => {
      const own = [globalThis, plain, symbol]
      const result = inside(global, inherits, () => main.switch())
      return [own, result]
    })
    g.switch()
    traps.length = 0
    const frames = localsOf(g, { depth: 4 })
    console.log(traps.join())
    const shown = frames.filter(({ frame }) => ['inner', 'top'].includes(frame.functionName))
    console.log(shown.map(({ this: self, scopes }) => self.text + ' ' + scopes.map(({ kind }) => kind).join()).join('; '))
    const { variables } = shown[1].scopes.find(({ kind }) => kind === 'local')
    console.log(['global', 'list', 'own', 'keys', 'inherits'].map((name) => name + ' ' + variables[name]?.text).join('\\n'))
    console.log(frames.flatMap(({ scopes }) => scopes).find(({ variables }) => variables.own?.text.includes('Symbol')).variables.own.text)
    g.switch()
    Reflect.ownKeys(global) // what a read would do
    console.log(g.dead, traps.length > 0)
  `)
  t.deepEqual(
    ending,
    printed(`
[function] with,local,closure; [global] local
global [global]
list [ [global] ]
own { deep: { global: [global] } }
keys { global: [ [ [global] ] ] }
inherits {}
[ [global], [global], Symbol(x) ]
true true
`),
  )
})

test('a dump from outside does not take the stack that is read for that of the greenlet that runs', async (t) => {
  const ending = await runProgram(`
    const { localsOf } = await import('./js/inspect/index.ts')
    const { EventEmitter } = await import('node:events')
    const { emit } = EventEmitter.prototype
    const [{ api }] = globalThis[Symbol.for('greenlets.copies')]
    // As the dump that another process asks for while V8 has stopped.
    const ask = (0, eval)('(api) => api.dumpJSON({ asker: "asker" })\\n//# sourceURL=asker')
    const dumps = []
    EventEmitter.prototype.emit = function (...args) {
      if (args[0] === 'Debugger.paused') dumps.push(ask(api))
      return Reflect.apply(emit, this, args)
    }
    const job = new Greenlet(function job() { const x = 7; main.switch(x) })
    job.switch()
    let read
    const looper = new Greenlet(function looper() { read = localsOf(job) })
    looper.switch()
    EventEmitter.prototype.emit = emit
    const [{ running, greenlets: all, runningStack }] = JSON.parse(dumps[0]).threads
    console.log(dumps.length, running === looper.serial, read[0].scopes[0].variables.x.text)
    console.log(all.map(({ name, state }) => name + ' ' + state).join(), runningStack.some((frame) => frame.function === 'job'))
    console.log(runningStack.at(-1).function)`)
  t.deepEqual(ending, printed('1 true 7\nmain suspended,job suspended,looper running false\npauseOfGreenlets\n'))
})

test('nothing is kept alive, and no session stays', async (t) => {
  const ending = await runProgram(
    `
    const { localsOf } = await import('./js/inspect/index.ts')
    const { setImmediate: turn } = await import('node:timers/promises')
    const { Session } = await import('node:inspector')
    const big = 40e6
    const kept = []
    let refs = []
    function park(object, text) {
      const part = text.slice(5, 45)
      const closure = () => object
      main.switch(closure)
      return part
    }
    const before = (gc(), process.memoryUsage())
    for (let i = 0; i < 3; i++) {
      const make = () => {
        const object = { i, data: new Array(1000).fill(i) }
        refs.push(new WeakRef(object))
        const g = new Greenlet(function run() { park(object, String(i).repeat(big)) })
        g.switch()
        kept.push(...localsOf(g))
        g.kill()
      }
      make()
    }
    for (let i = 0; i < 20 && refs.some((ref) => ref.deref()); i++) { await turn(); gc() }
    const after = process.memoryUsage()
    console.log(refs.filter((ref) => ref.deref()).length, after.heapUsed - before.heapUsed < big / 2, kept[0].scopes[0].variables.part.value)
    // Another session finds the debugger off.
    const session = new Session()
    session.connect()
    let paused = 0
    session.on('Debugger.paused', () => paused++)
    debugger
    session.post('Debugger.enable')
    debugger
    session.post('Debugger.disable')
    debugger
    console.log(paused)
  `,
    { flags: ['--expose-gc'] },
  )
  t.deepEqual(ending, printed(`0 true ${'0'.repeat(40)}\n1\n`))
})

/** Parks greenlets, reads all of them on main and in a greenlet, and resumes them. Prints how many were wrong. */
const MANY = `
  const { localsOf } = await import('./js/inspect/index.ts')
  class Job {
    constructor(n) { this.n = n }
    run(arg) {
      const local = { job: this.n, arg }
      { const block = [1, 2, this.n]; return leaf(arg, block) + local.job }
    }
  }
  function leaf(x, list) {
    const sum = list.reduce((a, b) => a + b, 0)
    const got = main.switch(x)
    return got + sum + x
  }
  let wrong = 0
  const all = []
  const make = (i) => {
    const g = new Greenlet((a) => new Job(i).run(a))
    g.switch(i * 10)
    return g
  }
  // Some are optimised by now.
  for (let i = 0; i < WARM; i++) make(i).switch(1)
  for (let i = 0; i < COUNT; i++) all.push(make(i))
  const ok = (preview, text) => preview === undefined || preview.text === text || preview.text === 'undefined' || preview.type === 'unavailable'
  let known = 0
  const look = () => {
    for (const [i, g] of all.entries()) {
      const [leafs, runs] = localsOf(g, { limit: 2 })
      const at = ({ scopes }, name) => scopes.find(({ variables }) => name in variables)?.variables[name]
      if (!ok(at(leafs, 'x'), String(i * 10)) || !ok(at(runs, 'local'), \`{ job: \${i}, arg: \${i * 10} }\`)) wrong++
      if (at(leafs, 'sum')?.value === 3 + i) known++
    }
  }
  look()
  const spilled = runtimeInfo().spilled
  new Greenlet(look).switch()
  globalThis.gc?.()
  for (const [i, g] of all.entries()) if (g.switch(1) !== 1 + 3 + i + i * 10 + i) wrong++
  console.log(wrong, known > 0, runtimeInfo().lane, spilled > 0)
`
const many = (count: number, warm: number): string => MANY.replace('COUNT', String(count)).replace('WARM', String(warm))

test('stacks are read under a collector that runs all the time', async (t) => {
  const ending = await runProgram(many(4, 0), { flags: ['--expose-gc', '--gc-interval=200'] })
  t.deepEqual(ending, printed('0 true fast false\n'))
})

test('spilled and optimised stacks are read in place', async (t) => {
  const ending = await runProgram(many(8, 4000), { flags: ['--expose-gc'], env: { GREENLETS_SPILL: 'always' } })
  t.deepEqual(ending, printed('0 true fast true\n'))
})

test('stacks are read in the locker lane', async (t) => {
  const ending = await runProgram(many(8, 0), { flags: ['--expose-gc'], env: { GREENLETS_LANE: 'locker' } })
  t.deepEqual(ending, printed('0 true locker false\n'))
})

test('a stack of 10,000 frames is read', async (t) => {
  const ending = await runProgram(
    `
    const { localsOf } = await import('./js/inspect/index.ts')
    configure({ stackSize: 6 * 2 ** 20 })
    const down = (n) => (n === 0 ? main.switch() : down(n - 1) + n)
    const g = new Greenlet(() => down(10_000))
    g.switch()
    const found = localsOf(g, { limit: 30 })
    console.log(g.gr_stack.length, found.length, found[29].scopes[0].variables.n.value)
    console.log(g.switch(0))
  `,
    { flags: ['--stack-size=8000'] },
  )
  t.deepEqual(ending, printed('10002 30 29\n50005000\n'))
})

test('a debugger that is attached is not disturbed', async (t) => {
  const ending = await runProgram(`
    const { locals } = await import('./js/inspect/index.ts')
    const { watch } = await import('./js/watchdog/watchdog.ts')
    const { Session } = await import('node:inspector')
    const { Worker } = await import('node:worker_threads')
    const { once } = await import('node:events')
    const g = new Greenlet(function job() { const x = 1; main.switch(); return x })
    g.switch()
    const tell = () => {
      try { console.log(locals(g.gr_frame).scopes[0].variables.x.text) } catch (error) { console.log(error.constructor.name, error.code, error.message) }
    }
    // Sessions without a debugger, also from another thread: Node would wait for them at a pause.
    const dog = watch({ print: false, after: 60_000 })
    const worker = new Worker('./__test__/helpers/locals-worker.mjs', { workerData: 'session', execArgv: process.execArgv.filter((flag) => flag.startsWith('--import')) })
    await once(worker, 'message')
    tell()
    const session = new Session()
    session.connect()
    tell()
    worker.postMessage('off')
    await once(worker, 'exit')
    dog.close()
    let paused = 0
    session.on('Debugger.paused', () => { paused++; tell() })
    session.post('Debugger.enable')
    tell()
    console.log(paused)
    debugger
    session.post('Debugger.disable')
    tell()
    console.log(paused)
    g.switch()
  `)
  const refused =
    "GreenletError ERR_GREENLET_NO_LOCALS the variables of greenlet 'job' cannot be read: a debugger is attached to this thread, and would be stopped too; read them there, or disconnect it first (a session of the inspector has called Debugger.enable)\n"
  t.deepEqual(ending, printed(`1\n1\n${refused}0\n${refused}1\n1\n`))
})

test('Workers read their own greenlets, and end while they do', async (t) => {
  const ending = await runProgram(`
    const { Worker } = await import('node:worker_threads')
    const { once } = await import('node:events')
    const worker = new Worker('./__test__/helpers/locals-worker.mjs', { workerData: 'reads', execArgv: process.execArgv.filter((flag) => flag.startsWith('--import')) })
    console.log(...(await once(worker, 'message')))
    console.log(await worker.terminate())
  `)
  t.deepEqual(ending, printed('1\n1\n'))
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
