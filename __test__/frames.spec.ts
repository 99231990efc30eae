import { Session } from 'node:inspector'
import { runInNewContext, runInThisContext } from 'node:vm'
import test from 'ava'
import { Greenlet, sleep, spawn } from '../js/index.ts'
import { inner, outer, parked } from './helpers/seed.ts'

const { main } = Greenlet

/** The part of WebAssembly that this file needs; the types of Node.js do not have it. */
interface Wasm {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object, imports: object) => { readonly exports: Record<string, () => void> }
}
const { WebAssembly } = globalThis as unknown as { readonly WebAssembly: Wasm }

function names(g: Greenlet): (string | null)[] {
  return g.gr_stack.map((frame) => frame.functionName)
}

test('gr_frame is the frame that switched away, and its f_back is the caller', (t) => {
  const g = new Greenlet(outer)
  t.is(g.switch(42), 42)
  // Other greenlets have run since, and have not changed the frames.
  new Greenlet(() => new Greenlet(() => {}).switch()).switch()
  t.is(g.gr_frame!.functionName, 'inner')
  t.is(g.gr_frame!.f_back!.functionName, 'outer')
  t.is(g.gr_frame!.f_back!.f_back, null)
  t.deepEqual(names(g), ['inner', 'outer'])
  g.kill()
})

test('a greenlet that is not suspended has no frames', (t) => {
  const seen: unknown[] = []
  const look = (): void => void seen.push(g.gr_frame, g.gr_stack.length, [...g.gr_stack], g.gr_stack.valid)
  const g = new Greenlet(look)
  look()
  g.switch()
  look()
  t.deepEqual(seen, Array.from({ length: 3 }, () => [null, 0, [], true]).flat())
  t.is(main.gr_frame, null)
  t.is(String(g.gr_stack), '')
  t.deepEqual(g.gr_stack.detach(), [])
})

test('built-in functions, getters and revivers are listed between the frames', (t) => {
  const g = new Greenlet(() => {
    const object = {
      get prop() {
        return inner('parked')
      },
    }
    const viaReviver = (): unknown => JSON.parse('[1]', (key, value) => (key === '0' ? object.prop : value))
    ;[1].map(function viaMap() {
      viaReviver()
    })
  })
  t.is(g.switch(), 'parked')
  const { gr_stack } = g
  t.deepEqual(
    gr_stack.map((frame) => frame.functionName).map((name) => name?.replace(/^get /, '') ?? null),
    ['inner', 'prop', null, 'parse', 'viaReviver', 'viaMap', 'map', null],
  )
  t.deepEqual(gr_stack.filter((frame) => frame.isNative).map(String), [
    'JSON.parse (<anonymous>)',
    'Array.map (<anonymous>)',
  ])
  const map = gr_stack.find((frame) => frame.functionName === 'map')!
  t.is(map.typeName, 'Array')
  t.deepEqual([map.fileName, map.lineNumber, map.columnNumber, map.scriptId], [null, null, null, null])
  g.kill()
})

test('a frame has its position', (t) => {
  class Job {
    work(): unknown {
      return inner('working')
    }
  }
  const g = new Greenlet(() => new Job().work())
  g.switch()
  const [, work, start] = g.gr_stack
  t.is(work!.functionName, 'work')
  t.is(work!.typeName, 'Job')
  t.is(work!.methodName, 'work')
  t.is(work!.fileName, import.meta.url)
  t.true(work!.lineNumber! > 0 && work!.columnNumber! > 0 && work!.position > 0)
  // No test has a frame with isAsync: a stack ends where the async callers of its job begin.
  for (const flag of ['isTopLevel', 'isConstructor', 'isAsync', 'isEval', 'isWasm', 'isNative'] as const)
    t.false(work![flag], flag)
  t.is(start!.functionName, null)
  t.true(start!.isTopLevel)
  t.regex(String(work), /^Job\.work \(.*frames\.spec\.ts:\d+:\d+\)$/)
  g.kill()
})

test('frames tell constructors and evaluated code apart', (t) => {
  class Made {
    value = inner('made')
  }
  const g = new Greenlet(() => {
    // oxlint-disable-next-line no-eval -- this is what the test is about; indirect eval does not see this scope
    ;(0, eval)('(make) => make()')(() => new Made())
  })
  g.switch()
  const made = g.gr_stack.find((frame) => frame.isConstructor)
  t.is(made?.functionName, 'Made')
  t.is(g.gr_stack.filter((frame) => frame.fileName === null).length, 1)
  g.kill()
})

test('a WebAssembly function has a frame', (t) => {
  // The text is (module (import "m" "f" (func)) (func (export "g") call 0))
  const bytes = '0061736d01000000010401600000020701016d0166000003020100070501016700010a0601040010000b'
  const module = new WebAssembly.Module(Buffer.from(bytes, 'hex'))
  const instance = new WebAssembly.Instance(module, { m: { f: () => void inner('in wasm') } })
  const g = new Greenlet(() => instance.exports['g']!())
  t.is(g.switch(), 'in wasm')
  const wasm = g.gr_stack.filter((frame) => frame.isWasm)
  t.is(wasm.length, 1)
  t.is(wasm[0]!.scriptId, null)
  t.false(wasm[0]!.isNative)
  t.is(wasm[0]!.position, 39)
  t.deepEqual(g.gr_stack.map((frame) => frame.isWasm).slice(0, 4), [false, false, true, false])
  g.switch()
})

test('scriptId is the id that the inspector uses', async (t) => {
  const session = new Session()
  session.connect()
  const scripts = new Map<string, string>()
  session.on('Debugger.scriptParsed', ({ params }) => scripts.set(params.scriptId, params.url))
  session.post('Debugger.enable')
  session.post('Debugger.disable')
  session.disconnect()
  const g = parked()
  t.is(scripts.get(String(g.gr_frame!.scriptId)), g.gr_frame!.fileName!)
  t.true(g.gr_frame!.fileName!.endsWith('/seed.ts'))
  g.kill()
})

function dive(depth: number): unknown {
  return depth === 0 ? inner('deep') : dive(depth - 1)
}

test('a stack of a thousand frames is complete', (t) => {
  const g = new Greenlet(() => dive(998))
  g.switch()
  t.is(g.gr_stack.length, 1001)
  t.deepEqual([...new Set(names(g))], ['inner', 'dive', null])
  let length = 0
  for (let frame = g.gr_frame; frame !== null; frame = frame.f_back) length++
  t.is(length, 1001)
  g.kill()
})

test('the frames of a greenlet that started another one end at its own function', (t) => {
  let seen: unknown
  const g = new Greenlet(function starter() {
    new Greenlet(function started() {
      seen = names(g)
    }).switch()
  })
  g.switch()
  t.deepEqual(seen, ['starter'])
})

test('main has frames while it is suspended', (t) => {
  const seen = new Greenlet(() => [...names(main)]).switch<string[]>()
  t.true(seen.length > 0)
  t.false(seen.includes('switchTo'))
})

test('frames of the package at the ends of a stack are left out, also those of its callbacks', async (t) => {
  const seen = await spawn(function reader() {
    sleep(1)
    return main.gr_stack.map((frame) => frame.fileName ?? '')
  })
  t.true(seen.length > 0)
  t.deepEqual(
    seen.filter((file) => /\/js\/(?:core|greenlet|hub)\//.test(file)),
    [],
  )
})

test('functions of the program are shown, also where they are called as functions of the package are', (t) => {
  const g = new Greenlet(function begin() {
    ;(function wait() {
      ;(function switchTo() {
        main.switch()
      })()
    })()
  })
  g.switch()
  t.deepEqual(names(g), ['switchTo', 'wait', 'begin'])
  g.kill()
})

test('the frames of a greenlet in throw(), kill() or wait() show the caller', (t) => {
  const other = new Greenlet(() => {
    try {
      main.switch()
    } catch {
      main.switch()
    }
  })
  const g = new Greenlet(function thrower() {
    other.throw(new Error('x'))
  })
  other.switch()
  g.switch()
  t.deepEqual(names(g), ['thrower'])
  g.kill()
  other.kill()
})

async function lookLater(look: () => unknown): Promise<unknown> {
  await Promise.resolve()
  return look()
}

test('async callers of the running job are not part of the stack', async (t) => {
  const g = (await lookLater(parked)) as Greenlet
  t.deepEqual(names(g), ['inner', 'outer'])
  t.deepEqual(await lookLater(() => names(g)), ['inner', 'outer'])
  g.kill()
})

test('Error.stackTraceLimit and prepareStackTrace are neither obeyed nor changed', (t) => {
  const { stackTraceLimit, prepareStackTrace } = Error
  const g = parked()
  try {
    Error.stackTraceLimit = 1
    Error.prepareStackTrace = () => 'mine'
    const prepare = Error.prepareStackTrace
    t.deepEqual(names(g), ['inner', 'outer'])
    t.is(Error.stackTraceLimit, 1)
    t.is(Error.prepareStackTrace, prepare)
  } finally {
    Error.stackTraceLimit = stackTraceLimit
    Error.prepareStackTrace = prepareStackTrace
  }
  g.kill()
})

test('reading a stack does not resume any greenlet', (t) => {
  let steps = 0
  const g = new Greenlet(() => {
    for (;;) {
      steps++
      main.switch()
    }
  })
  g.switch()
  const { epoch } = g.gr_stack
  for (let i = 0; i < 100; i++) names(g)
  t.is(steps, 1)
  t.is(g.gr_stack.epoch, epoch)
  g.switch()
  t.true(g.gr_stack.epoch > epoch)
  g.kill()
})

test('a frame is the same object until the job ends', (t) => {
  const g = parked()
  t.is(g.gr_frame, g.gr_frame)
  t.is(g.gr_stack, g.gr_stack)
  t.is(g.gr_stack[0]!, g.gr_frame!)
  t.is(g.gr_frame!.f_back!, g.gr_stack[1]!)
  g.kill()
})

test('a thousand parked stacks can be read without moving them', (t) => {
  const all = Array.from({ length: 1000 }, (_, i) => {
    const g = new Greenlet((depth: number) => {
      return dive(depth)
    })
    g.switch(i % 20)
    return g
  })
  t.deepEqual(
    all.map((g) => g.gr_stack.length),
    all.map((_, i) => 3 + (i % 20)),
  )
  for (const g of all) g.switch('on')
  t.true(all.every((g) => g.dead))
})

/** Suspends a greenlet in `stop`, which the call sites of an Error made in the same place are compared with. */
function sitesAndFrames(call: (stop: () => void) => void): [sites: unknown[], frames: unknown[]] {
  let sites: NodeJS.CallSite[] = []
  const g = new Greenlet(() => {
    call(function stop() {
      const { prepareStackTrace } = Error
      Error.prepareStackTrace = (_, all) => all
      sites = new Error('here').stack as unknown as NodeJS.CallSite[]
      Error.prepareStackTrace = prepareStackTrace
      main.switch()
    })
  })
  g.switch()
  const frames = g.gr_stack.map((f) => [f.functionName, f.methodName, f.typeName, f.isConstructor, f.isTopLevel])
  g.kill()
  const expected = sites.map((s) => [
    s.getFunctionName() || null,
    s.getMethodName(),
    s.getTypeName(),
    s.isConstructor(),
    s.isToplevel(),
  ])
  return [expected.slice(0, frames.length), frames]
}

for (const [what, call] of Object.entries<(stop: () => void) => void>({
  'a method of a string': (stop) => void 'a'.replace(/a/, stop as never),
  'a method of an array': (stop) => void [1].map(stop),
  'a method of a number that the program added': (stop) => {
    Object.assign(Number.prototype, { halt: (): void => stop() })
    ;(5 as unknown as { halt(): void }).halt()
    Reflect.deleteProperty(Number.prototype, 'halt')
  },
  'a method of a symbol': (stop) => {
    Object.assign(Symbol.prototype, {
      halt() {
        stop()
      },
    })
    ;(Symbol('x') as unknown as { halt(): void }).halt()
    Reflect.deleteProperty(Symbol.prototype, 'halt')
  },
  'a method of a bigint': (stop) => {
    Object.assign(BigInt.prototype, {
      halt() {
        stop()
      },
    })
    ;(5n as unknown as { halt(): void }).halt()
    Reflect.deleteProperty(BigInt.prototype, 'halt')
  },
  'a global function': (stop) => {
    Object.assign(globalThis, { stopForTest: stop })
    runInThisContext('function globalForTest() { stopForTest() }; globalForTest()', { filename: 'global.js' })
  },
  'a function of another realm': (stop) => void runInNewContext('(stop) => "a".replace(/a/, stop)')(stop),
  'a static method': (stop) => {
    class A {
      static make(): void {
        stop()
      }
    }
    A.make()
  },
})) {
  test.serial(`names of frames are V8's: ${what}`, (t) => {
    const [expected, frames] = sitesAndFrames(call)
    t.deepEqual(frames, expected)
  })
}

test.serial('a function of a script is not native, whatever its line numbers', (t) => {
  for (const options of [{ lineOffset: -5, filename: 'negative.js' }, { lineOffset: -5 }, { lineOffset: -1 }]) {
    const run = runInThisContext('(stop) => {\n  [1].map(function user() { stop() })\n}', options) as (
      f: () => void,
    ) => void
    const g = new Greenlet(() => run(() => void inner('parked')))
    g.switch()
    const frame = g.gr_stack.find(({ functionName }) => functionName === 'user')!
    t.false(frame.isNative)
    t.is(typeof frame.scriptId, 'number')
    t.deepEqual(
      g.gr_stack.filter((f) => f.isNative).map((f) => f.functionName),
      ['map'],
    )
    g.kill()
  }
})
