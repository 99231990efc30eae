// The `stack` of an error tells the waits that the error came out of: where each greenlet waited, and its name.

import { deepStrictEqual } from 'node:assert'
import { readFile } from 'node:fs/promises'
import { inspect } from 'node:util'
import { createContext, runInContext } from 'node:vm'
import test from 'ava'
import { Greenlet, GreenletExit, sleep, spawn, wait } from '../js/index.ts'
import { collectRounds } from './helpers/collect.ts'
import { runProgram } from './helpers/program.ts'
import { later, pending, turn } from './helpers/promises.ts'

/** V8 makes `stack` a data property on Node.js 20 and an accessor pair later. */
const STACK_IS_DATA = Object.getOwnPropertyDescriptor(new Error('probe'), 'stack')?.get === undefined

async function fails(): Promise<never> {
  await later(undefined, 1)
  throw new Error('late')
}

async function failsWith(error: unknown): Promise<never> {
  await later(undefined, 1)
  throw error
}

function viaWait(promise: PromiseLike<unknown> = fails()): unknown {
  return wait(promise)
}

/** Waits below a function of its own, in a greenlet with that name, and returns what came out. */
async function outcome(run: () => unknown, name = 'waiter'): Promise<{ stack: string } & Record<string, unknown>> {
  const g = spawn(function handler() {
    return run()
  })
  g.name = name
  return g.then(
    () => {
      throw new Error('there was no error')
    },
    (error: unknown) => error as never,
  )
}

/** The names of the functions of a stack, without those of Node.js, and of greenlets in quotes. */
function names(stack: unknown): string[] {
  const lines = (String(stack).match(/^ +at .*/gm) ?? []).filter((line) => !line.includes('node:internal'))
  return lines.map(
    (line) =>
      /\[in greenlet (".*")\]/.exec(line)?.[1] ??
      /at (?:async |Object\.)?(\S+) \(/.exec(line)?.[1]?.replace('<anonymous>', '') ??
      '',
  )
}

/** The same, from the last greenlet but `waits` on. */
function told(stack: unknown, waits = 1): string[] {
  const all = names(stack)
  const ends = all.flatMap((name, i) => (name.startsWith('"') ? [i] : []))
  const begin = ends.at(-waits - 1) ?? -1
  return all.slice(begin + 1)
}

for (const [how, run, expected] of [
  ['wait() for an async function', () => viaWait(), ['fails', 'viaWait', 'handler', '"waiter"']],
  ['wait() for a promise', () => viaWait(later(0).then(() => fails())), ['fails', 'viaWait', 'handler', '"waiter"']],
  [
    'wait() for a thenable',
    // oxlint-disable-next-line no-thenable -- the test needs one
    () => viaWait({ then: (a: never, b: never) => fails().then(a, b) } as never),
    ['fails', 'viaWait', 'handler', '"waiter"'],
  ],
  [
    'wait() in a callback',
    () =>
      [1].map(function each() {
        return wait(fails())
      }),
    ['fails', 'each', 'Array.map', 'handler', '"waiter"'],
  ],
] as const) {
  test(`the stack of an error tells the waiting functions and the greenlet: ${how}`, async (t) => {
    const { stack } = await outcome(run)
    t.deepEqual(
      names(stack).filter((name) => /^(?:fails|viaWait|each|Array.map|handler|".*")$/.test(name)),
      [...expected],
    )
    t.regex(stack, /^Error: late\n {4}at fails /)
  })
}

test('an error that no JavaScript has made tells where it came out of wait()', async (t) => {
  const { stack } = await outcome(function read() {
    wait(readFile('/does/not/exist'))
  })
  t.regex(stack, /^Error: ENOENT: /)
  t.deepEqual(told(stack).slice(-3), ['read', 'handler', '"waiter"'])
})

test('an error out of join() tells the waits in order, the innermost first', async (t) => {
  const { stack } = await outcome(function outer() {
    const worker = spawn(function work() {
      viaWait()
    })
    worker.name = 'worker'
    worker.join()
  })
  t.deepEqual(names(stack), ['fails', 'viaWait', 'work', '"worker"', 'outer', 'handler', '"waiter"'])
})

test('an error that an async function passes on tells the waits on both sides', async (t) => {
  const { stack } = await outcome(function outer() {
    wait(
      (async () => {
        await outcomeOfInner
      })(),
    )
  })
  t.deepEqual(
    names(stack).filter((name) => name !== ''),
    ['fails', 'viaWait', 'inner', '"inner"', 'outer', 'handler', '"waiter"'],
  )
})
const outcomeOfInner = spawn(function inner() {
  viaWait()
})
outcomeOfInner.then(undefined, () => {})

test('the reason of a signal tells the sleep() that it ended', async (t) => {
  const { stack, name } = await outcome(function nap() {
    sleep(10_000, { signal: AbortSignal.timeout(2) })
  })
  t.is(name, 'TimeoutError')
  t.deepEqual(told(stack).slice(-3), ['nap', 'handler', '"waiter"'])
  const aborted = await outcome(function nap() {
    sleep(10_000, { signal: AbortSignal.abort(new Error('before')) })
  })
  t.deepEqual(told(aborted.stack).slice(-3), ['nap', 'handler', '"waiter"'])
})

test('an error that throw() sends into a wait tells that wait', async (t) => {
  const g = spawn(function handler() {
    viaWait(pending().promise)
  })
  await turn()
  g.throw(new Error('sent'))
  const error = await g.then(undefined, (reason: unknown) => reason)
  t.deepEqual(told((error as Error).stack).slice(-3), ['viaWait', 'handler', '"handler"'])
})

test('an error of a child that ends a wait tells that wait', async (t) => {
  const { promise, reject } = pending()
  const { stack } = await outcome(function parent() {
    const child = new Greenlet(function child() {
      wait(promise)
    })
    setTimeout(() => reject(new Error('of the child')), 5)
    setImmediate(() => child.switch())
    viaWait(pending().promise)
  })
  t.deepEqual(names(stack).slice(-6), ['child', '"child"', 'viaWait', 'parent', 'handler', '"waiter"'])
})

test('a refused wait is not told as a wait', async (t) => {
  const { stack } = await outcome(function handler() {
    const own = Greenlet.current as never
    wait(own)
  })
  t.notRegex(stack, /in greenlet/)
})

test('an exit tells no waits', async (t) => {
  const exit = new GreenletExit()
  const g = spawn(() => viaWait(failsWith(exit)))
  t.is((await t.throwsAsync(g)).cause, exit)
  t.notRegex(String(exit.stack), /in greenlet/)
})

test('frames of the package are not told', async (t) => {
  const { stack } = await outcome(() => spawn(viaWait).join())
  const text = stack.slice(stack.indexOf('viaWait'))
  t.notRegex(text, /\bjs\/(?:hub|core|greenlet|stack)\//)
})

test('one failure that many greenlets wait for tells each of them its own wait', async (t) => {
  const promise = fails()
  const all = Array.from({ length: 50 }, (_, i) => {
    const g = spawn(function handler() {
      const error = t.throws(() => viaWait(promise))
      return names(error.stack)
    })
    g.name = `number ${i}`
    return g
  })
  for (const [i, g] of all.entries()) {
    t.deepEqual(
      (await g).filter((name) => /^(?:fails|viaWait|handler|".*")$/.test(name)),
      ['fails', 'viaWait', 'handler', `"number ${i}"`],
    )
  }
})

test('one error out of many waits tells at most five, the first four and the last', async (t) => {
  const error = new Error('shared')
  for (let i = 0; i < 20; i++) {
    t.is((await outcome(() => viaWait(failsWith(error)), `number ${i}`)) as unknown, error)
    t.is(names(error.stack).at(-1), `"number ${i}"`)
  }
  const greenlets = names(error.stack).filter((name) => name.startsWith('"'))
  t.deepEqual(greenlets, ['"number 0"', '"number 1"', '"number 2"', '"number 3"', '"number 19"'])
})

test('a greenlet that waits again and again at one place tells it once', async (t) => {
  const error = new Error('shared')
  await spawn(function retries() {
    for (let i = 0; i < 10; i++) t.throws(() => viaWait(failsWith(error)))
  })
  t.deepEqual(
    names(error.stack).filter((name) => name === '"retries"'),
    ['"retries"'],
  )
})

test('a chain of a hundred greenlets tells the innermost waits and the last one', async (t) => {
  let last = spawn(function innermost(): unknown {
    return viaWait()
  })
  for (let i = 1; i < 100; i++) {
    const before = last
    last = spawn(() => before.join())
    last.name = `number ${i}`
  }
  const { stack } = await outcome(() => last.join())
  const greenlets = names(stack).filter((name) => name.startsWith('"'))
  t.deepEqual(greenlets, ['"innermost"', '"number 1"', '"number 2"', '"number 3"', '"waiter"'])
})

test('nothing is formatted before the stack is read, and an error is formatted once', async (t) => {
  const { stdout } = await runProgram(`
    let calls = 0
    Error.prepareStackTrace = (error, sites) => { calls++; return error + sites.map((s) => '\\n    at ' + s.getFunctionName() + ' (x.js:1:1)').join('') }
    const late = async () => { await null; throw new Error('late') }
    const g = spawn(function waits() { try { wait(late()) } catch (error) { return error } })
    const error = await g
    console.log(calls)
    console.log(error.stack)
    const read = calls
    console.log(error.stack === error.stack, calls - read)
  `)
  t.is(
    stdout,
    '0\nError: late\n    at late (x.js:1:1)\n    at waits (x.js:1:1)\n    at [in greenlet "waits"] (<anonymous>)\ntrue 0\n',
  )
})

test('a stack that was read already tells the wait too', async (t) => {
  const error = new Error('read before')
  t.notRegex(error.stack!, /viaWait/)
  await outcome(() => viaWait(failsWith(error)))
  t.deepEqual(told(error.stack).slice(-3), ['', 'handler', '"waiter"'])
  t.regex(error.stack!, /viaWait/)
})

test('what Error.prepareStackTrace makes of an error stays as it is, where it is not text of frames', async (t) => {
  const { stdout } = await runProgram(`
    const late = async () => { await null; throw new Error('late') }
    const caught = (f) => spawn(function waits() { try { wait(f()) } catch (error) { return error } })
    const a = await caught(late)
    Error.prepareStackTrace = (_, sites) => sites
    console.log(Array.isArray(a.stack), a.stack[0].getFunctionName())
    const b = await caught(late)
    Error.prepareStackTrace = () => 'other text'
    console.log(b.stack)
    const c = await caught(late)
    Error.prepareStackTrace = () => { throw 'a hook that throws' }
    try { c.stack } catch (error) { console.log(error) }
    Error.prepareStackTrace = undefined
    console.log(/waits.*\\n.*in greenlet "waits"/.test(c.stack))
    console.log(Error.prepareStackTrace)
  `)
  t.is(stdout, 'true late\nother text\na hook that throws\ntrue\nundefined\n')
})

test('Error.stackTraceLimit holds for each wait', async (t) => {
  const { stdout } = await runProgram(`
    const deep = (n) => n === 0 ? wait(late()) : deep(n - 1) + 0
    const late = async () => { await null; throw new Error('late') }
    const text = async () => (await spawn(deep, 30).then(null, (error) => error)).stack.split('\\n').length
    console.log(await text())
    Error.stackTraceLimit = 3
    console.log(await text())
    Error.stackTraceLimit = 0
    console.log(await text())
    delete Error.stackTraceLimit
    console.log((await spawn(deep, 3).then(null, (error) => error)).stack)
  `)
  t.is(stdout, '13\n6\n1\nundefined\n')
})

test('the attributes of the property stay', async (t) => {
  const error = new Error('late')
  const { get, ...before } = Object.getOwnPropertyDescriptor(error, 'stack')!
  await outcome(() => viaWait(failsWith(error)))
  const { get: getAfter, ...after } = Object.getOwnPropertyDescriptor(error, 'stack')!
  t.is(after.enumerable, before.enumerable)
  t.is(after.configurable, before.configurable)
  t.deepEqual(Object.keys(error), [])
  if (!STACK_IS_DATA)
    t.deepEqual([typeof get, typeof getAfter, typeof before.set, typeof after.set], Array(4).fill('function'))
})

test('a stack that the program sets is what it reads, also after another wait', async (t) => {
  const error = await outcome(() => viaWait())
  error.stack = 'mine'
  t.is(error.stack, 'mine')
  await outcome(() => viaWait(failsWith(error)))
  t.is(error.stack, 'mine')
  Object.assign(error, { stack: 42 })
  t.is(error.stack as unknown, 42)
  Object.defineProperty(error, 'stack', { value: 'defined', writable: true, configurable: true })
  await outcome(() => viaWait(failsWith(error)))
  t.is(error.stack, 'defined')
  delete (error as { stack?: string }).stack
  await outcome(() => viaWait(failsWith(error)))
  t.false('stack' in error && Object.hasOwn(error, 'stack'))
})

for (const [what, make] of Object.entries<() => unknown>({
  'set before': () => Object.assign(new Error('e'), { stack: 'mine' }),
  'a data property': () => Object.defineProperty(new Error('e'), 'stack', { value: 'mine', configurable: true }),
  'an accessor of the program': () =>
    Object.defineProperty(new Error('e'), 'stack', { get: () => 'mine', configurable: true }),
  'an accessor that throws': () =>
    Object.defineProperty(new Error('e'), 'stack', {
      get: () => {
        throw new Error('must not be read')
      },
      configurable: true,
    }),
  frozen: () => Object.freeze(new Error('e')),
  sealed: () => Object.seal(new Error('e')),
  deleted: () => {
    const error = new Error('e')
    delete error.stack
    return error
  },
  'an object without one': () => ({ message: 'e' }),
  'an object with one': () => ({ stack: 'Error: e\n    at x (x.js:1:1)' }),
  'a string': () => 'reason',
  undefined: () => undefined,
  'a function': () => () => {},
  'a Proxy': () =>
    new Proxy(new Error('e'), {
      getOwnPropertyDescriptor: () => {
        throw new Error('must not be called')
      },
      defineProperty: () => {
        throw new Error('must not be called')
      },
      getPrototypeOf: () => {
        throw new Error('must not be called')
      },
    }),
})) {
  test(`wait() throws what it gets and leaves its stack alone: ${what}`, async (t) => {
    const reason: unknown = make()
    const before = safeStack(reason)
    const caught = await spawn(() => {
      try {
        viaWait(failsWith(reason))
      } catch (error) {
        return [error]
      }
      return []
    })
    t.true(caught.length === 1 && caught[0] === reason)
    t.is(safeStack(reason), before)
  })
}

function safeStack(reason: unknown): unknown {
  try {
    return (reason as { stack?: unknown } | undefined)?.stack
  } catch {
    return 'throws'
  }
}

for (const restrict of [Object.freeze, Object.seal, Object.preventExtensions]) {
  test(`a stack can be read after Object.${restrict.name}(error), and assigned where V8's own can`, async (t) => {
    const error = await outcome(viaWait)
    const plain = new Error('plain')
    restrict(error)
    restrict(plain)
    const { stack } = error
    t.regex(stack, /^Error: late/)
    // Node.js 20 has V8's own text only as long as the property can be defined again.
    if (!STACK_IS_DATA || restrict === Object.preventExtensions) t.regex(stack, /^Error: late\n {4}at fails /)
    t.deepEqual(told(stack).slice(-3), ['viaWait', 'handler', '"waiter"'])
    const assigned = [error, plain].map((object) => {
      try {
        object.stack = 'mine'
      } catch (reason) {
        return String(reason)
      }
      return object.stack === 'mine'
    })
    t.is(assigned[0], typeof assigned[1] === 'string' ? assigned[1].replace('plain', 'late') : assigned[1])
    if (assigned[0] !== true) t.is(error.stack, stack)
  })
}

test('another object that has the accessor, or inherits it, gets a stack of its own by an assignment', async (t) => {
  const error = await outcome(() => viaWait())
  const { stack } = error
  const heir = Object.create(error) as Error
  const copy = Object.defineProperties({}, Object.getOwnPropertyDescriptors(error)) as Error
  t.is(copy.stack, stack)
  heir.stack = 'of the heir'
  copy.stack = 'of the copy'
  t.deepEqual([heir.stack, copy.stack, error.stack], ['of the heir', 'of the copy', stack])
  t.deepEqual([Object.keys(heir), Object.keys(copy)], [['stack'], []])
  new Proxy(error, {}).stack = 'through a proxy'
  t.is(error.stack, 'through a proxy')
})

test('an error of another realm tells the waits', async (t) => {
  const context = createContext({ later })
  const foreign = runInContext(
    `(async function foreign() { await later(0, 1); throw new TypeError('foreign') })`,
    context,
  ) as () => Promise<never>
  const error = await outcome(() => viaWait(foreign()))
  t.false((error as object) instanceof Error)
  t.deepEqual(
    names(error.stack).filter((name) => name !== ''),
    ['foreign', 'viaWait', 'handler', '"waiter"'],
  )
})

test('an object with captured frames tells the waits', async (t) => {
  const custom: { stack?: string } = {}
  Error.captureStackTrace(custom)
  await outcome(() => viaWait(failsWith(custom)))
  t.is(names(custom.stack).at(-1), '"waiter"')
})

test('inspect(), structuredClone() and equality work with such an error', async (t) => {
  const error = await outcome(() => viaWait(failsWith(new RangeError('late', { cause: 'a cause' }))))
  t.regex(inspect(error), /at viaWait [^]*in greenlet "waiter"[^]*a cause/)
  t.regex(inspect(new Error('outer', { cause: error })), /in greenlet "waiter"/)
  const clone = structuredClone(error)
  t.true((clone as object) instanceof RangeError)
  t.is(clone.stack, error.stack)
  deepStrictEqual(error, new RangeError('late', { cause: 'a cause' }))
  t.deepEqual(Object.entries(error), [])
  const heir = Object.create(error) as Error
  t.is(heir.stack, error.stack)
  t.is(new Proxy(error, {}).stack, error.stack)
})

test('t.throws() and t.throwsAsync() see such an error', async (t) => {
  await spawn(() => t.throws(() => viaWait(), { instanceOf: Error, message: 'late' }))
  await t.throwsAsync(async () => spawn(() => viaWait()), { instanceOf: Error, message: 'late' })
})

test('the names of greenlets are quoted', async (t) => {
  const { stack } = await outcome(() => viaWait(), 'a "name"\n    at fake (x.js:1:1)')
  t.true(stack.endsWith(String.raw`    at [in greenlet "a \"name\"\n    at fake (x.js:1:1)"] (<anonymous>)`))
  const unnamed = await spawn(() => viaWait()).then(undefined, (error: unknown) => error)
  t.regex((unnamed as Error).stack!, /\[in greenlet "greenlet-\d+"\]/)
})

test('an uncaught error is printed with its waits', async (t) => {
  const { code, stderr } = await runProgram(`
    const late = async () => { await null; throw new Error('late') }
    function viaWait() { wait(late()) }
    spawn(function handler() { viaWait() })
  `)
  t.is(code, 1)
  t.regex(stderr, /Error: late\n +at late [^]*at viaWait [^]*at handler [^]*\[in greenlet "handler"\]/)
})

test('the stack can be read inside of Error.prepareStackTrace, and where the running stack is nearly full', async (t) => {
  const { stdout } = await runProgram(`
    const late = async () => { await null; throw new Error('late') }
    const failed = () => spawn(function waits() { try { wait(late()) } catch (error) { return error } })
    const [a, b] = [await failed(), await failed()]
    let inner
    Error.prepareStackTrace = (error, sites) => { inner ??= a.stack; return String(error) }
    new Error('outer').stack
    console.log(/late.*[^]*waits.*\\n.*in greenlet "waits"/.test(inner), inner.split('\\n').length)
    Error.prepareStackTrace = undefined
    const dig = () => { try { dig() } catch { try { b.stack } catch {} } }
    dig()
    console.log(/waits.*[^]*in greenlet "waits"/.test(b.stack))
  `)
  t.is(stdout, 'true 4\ntrue\n')
})

test('Error.prepareStackTrace can read the stack that is being read', async (t) => {
  const { stdout } = await runProgram(`
    const late = async () => { await null; throw new Error('late') }
    const error = await spawn(function waits() { try { wait(late()) } catch (error) { return error } })
    let [calls, inner] = [0, '']
    Error.prepareStackTrace = (_, sites) => {
      calls++
      inner = error.stack
      return 'Error: text' + sites.map((site) => '\\n    at ' + site.getFunctionName()).join('')
    }
    console.log(error.stack)
    console.log(calls, typeof inner, inner?.includes('[in greenlet'))
    console.log(error.stack.split('\\n').length, calls)
  `)
  t.is(
    stdout,
    'Error: text\n    at late\n    at waits\n    at [in greenlet "waits"] (<anonymous>)\n2 string false\n4 2\n',
  )
})

for (const [what, replacement] of Object.entries({
  throw: `() => { throw new Error('replaced') }`,
  'return nothing': '() => {}',
})) {
  test(`a wait is told where the program has replaced methods by some that ${what}`, async (t) => {
    const { stdout } = await runProgram(`
      const late = async () => { await null; throw new Error('late') }
      const failed = () => spawn(function waits() { try { wait(late()) } catch (error) { return error } })
      await failed().then((error) => error.stack)
      const reads = []
      for (const [owner, names] of [
        [{}, ['nothing']],
        [Array, ['isArray']],
        [Array.prototype, ['join', 'filter', 'map', 'at', 'pop', 'push', 'slice', 'some', 'findIndex', Symbol.iterator]],
        [String.prototype, ['includes', 'match', 'endsWith']],
        [RegExp.prototype, ['exec', Symbol.match]],
        [Function.prototype, ['call', 'apply']],
        [Object, ['getOwnPropertyDescriptor', 'isExtensible', 'defineProperty']],
        [Reflect, ['apply', 'deleteProperty']],
        [JSON, ['stringify']],
      ]) for (const name of names) for (const prepare of [undefined, (_, sites) => sites.length + '\\n    at waits']) {
        const error = await failed()
        const method = owner[name]
        Error.prepareStackTrace = prepare
        owner[name] = ${replacement}
        let stack
        try { stack = error.stack } catch (reason) { stack = reason.message }
        owner[name] = method
        reads.push([name, stack])
      }
      for (const [name, stack] of reads) {
        if (!/\\n    at waits.*\\n    at \\[in greenlet "waits"/.test(stack) || /lifecycle/.test(stack)) console.log(name, stack)
      }
      console.log(reads.length)
    `)
    t.is(stdout, '50\n')
  })
}

test('source maps hold for the waits', async (t) => {
  const { code, stdout, stderr } = await runProgram(
    `
    process.setSourceMapsEnabled(true)
    const { Module } = await import('node:module')
    const map = { version: 3, sources: ['mapped.ts'], names: [], mappings: 'AAUA' }
    const text = 'module.exports = (wait, late) => { wait(late()) }\\n//# sourceMappingURL=data:application/json;base64,' + Buffer.from(JSON.stringify(map)).toString('base64')
    const module = new Module('/virtual/out.js')
    module._compile(text, '/virtual/out.js')
    const late = async () => { await null; throw new Error('late') }
    const error = await spawn(function handler() { module.exports(wait, late) }).then(null, (error) => error)
    console.log(error.stack.split('\\n').filter((line) => line.includes('virtual')).length, /mapped\\.ts:11/.test(error.stack), /out\\.js/.test(error.stack))
  `,
  )
  t.is(stdout, '1 true false\n', stderr)
  t.is(code, 0)
})

async function failure(): Promise<{ greenlet: WeakRef<object>; error: Error; receiver: WeakRef<object> }> {
  class Receiver {
    go(): unknown {
      return viaWait()
    }
  }
  const receiver = new Receiver()
  const g = spawn(() => receiver.go())
  const error = (await g.then(undefined, (reason: unknown) => reason)) as Error
  return { greenlet: new WeakRef(g), error, receiver: new WeakRef(receiver) }
}

test.serial('an error keeps neither its greenlet nor, once it was read, what its frames refer to', async (t) => {
  const { greenlet, error, receiver } = await failure()
  await collectRounds(3)
  t.is(greenlet.deref(), undefined)
  t.regex(error.stack!, /Receiver\.go/)
  await collectRounds(3)
  t.is(receiver.deref(), undefined)
  t.regex(error.stack!, /Receiver\.go/)
})

test('the example of docs/semantics.md prints what it says', async (t) => {
  const docs = await readFile(new URL('../docs/semantics.md', import.meta.url), 'utf8')
  const [, example] = /### Errors that come out of a wait[^]*?```js[^\n]*\n([^]*?)```/.exec(docs)!
  const { stdout } = await runProgram(example!.replace(/^import .*$/m, ''))
  const said = example!.match(/^\/\/ .*$/gm)!.map((line) => line.slice(3))
  t.deepEqual(names(stdout), names(said.join('\n')))
  t.is(stdout.split('\n')[0], said[0])
})
