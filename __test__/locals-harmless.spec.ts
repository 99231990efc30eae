// Reading the variables of suspended greenlets does no harm: nothing of the program runs or stays alive, and other stacks go on.

import test from 'ava'
import { printed, runProgram } from './helpers/program.ts'

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
