// The depth of a greenlet's stack: it is that of main, which --stack-size and a Worker's stackSizeMb change, or that of
// configure({ stackSize }).

import test from 'ava'
import { configure, Greenlet, runtimeInfo } from '../js/index.ts'
import { LANE } from './helpers/lane.ts'
import { runProgram } from './helpers/program.ts'

const { main } = Greenlet
const KIB = 1024
const MIB = 1024 * KIB
/** V8 13.6 and later take a stack for as large as the thread's own at most. */
const LIMITED = Number.parseInt(process.versions.v8) >= 13

/** Functions for the programs. The first call of `depth` compiles it. */
const DEPTH = `
const depth = () => { let n = 0; const f = () => { n++; f() }; try { f() } catch {} return n }
const ratio = () => { depth(); const own = depth(); return new Greenlet(depth).switch() / own }
const near = (a, b) => a > b * 0.9 && a < b * 1.1
`

/** Overflows in JavaScript and in V8's own recursive functions, and errors that cross a deep stack, with collections on the way. */
const HARD = `
const again = (n, f) => (n === 0 ? f() : again(n - 1, f) + 1)
const passing = (n, f) => {
  try { return n === 0 ? f() : passing(n - 1, f) } catch (error) { if (n % 10_000 === 0) gc(); throw error }
}
const proxy = new Proxy({}, { get: (_, key) => proxy[key] })
const overflows = [
  () => { const f = () => f() + 1; return f() },
  () => proxy.x,
  () => { const f = () => [2, 1].sort(f); return f() },
  () => ({ toString() { return String(this) } }).toString(),
  () => { class A { constructor() { return new A() } } return new A() },
  () => { const f = () => 'a'.replace(/a/, f); return f() },
  () => new Function('return ' + '('.repeat(1e6) + ')'.repeat(1e6)),
]
function hard(frames) {
  for (const overflow of overflows) {
    try { overflow(); throw new Error('no overflow: ' + overflow) } catch (error) { if (!(error instanceof RangeError || error instanceof SyntaxError)) throw error }
  }
  const reason = new Error('from the bottom')
  try { passing(frames, () => { gc(); throw reason }) } catch (error) { if (error !== reason) throw error }
  const held = { at: 'the bottom' }
  return again(frames, () => (Greenlet.main.switch('deep'), gc(), held.at === 'the bottom' ? 0 : NaN))
}
function parked(count, frames) {
  const all = Array.from({ length: count }, () => new Greenlet(() => hard(frames)))
  for (const g of all) if (g.switch() !== 'deep') throw new Error('not parked')
  gc({ type: 'minor' }); gc()
  const lengths = all.map((g) => g.gr_stack.length > frames)
  return all.every((g) => g.switch() === frames) && lengths.every(Boolean)
}
`

for (const [size, frames] of [
  [3500, 15_000],
  [2000, 8_000],
] as const) {
  test(`with --stack-size=${size} a greenlet is as deep as main`, async (t) => {
    const program = `${DEPTH}${HARD}
      const info = runtimeInfo()
      console.log(near(ratio(), 1), near(info.stackSize, ${size} * 1024), parked(3, ${frames}), near(ratio(), 1))`
    const { code, stdout, stderr } = await runProgram(program, { flags: [`--stack-size=${size}`, '--expose-gc'] })
    t.deepEqual({ code, stdout }, { code: 0, stdout: 'true true true true\n' }, stderr)
  })
}

test('with a smaller --stack-size a greenlet is no deeper than main', async (t) => {
  const program = `${DEPTH}${HARD}console.log(near(ratio(), 1), near(runtimeInfo().stackSize, 500 * 1024), parked(3, 500))`
  const { code, stdout, stderr } = await runProgram(program, { flags: ['--stack-size=500', '--expose-gc'] })
  t.deepEqual({ code, stdout }, { code: 0, stdout: 'true true true\n' }, stderr)
})

for (const [stackSizeMb, frames] of [
  [1, 1_500],
  [4, 15_000],
  [16, 40_000],
] as const) {
  test(`in a Worker with a stackSizeMb of ${stackSizeMb} a greenlet is as deep as the Worker`, async (t) => {
    const inside = `import(url).then(({ Greenlet, runtimeInfo }) => {
      ${DEPTH}${HARD}
      console.log(near(ratio(), 1), parked(3, ${frames}), near(ratio(), 1))
    })`
    const program = `
      import { Worker } from 'node:worker_threads'
      import { pathToFileURL } from 'node:url'
      const url = pathToFileURL('./js/index.ts').href
      const text = 'const url = ' + JSON.stringify(url) + ';' + ${JSON.stringify(inside)}
      const worker = new Worker(text, { eval: true, resourceLimits: { stackSizeMb: ${stackSizeMb} } })
      worker.on('error', (error) => console.log(error))
      worker.on('exit', (code) => console.log('exit', code))`
    const { code, stdout, stderr } = await runProgram(program, { flags: ['--expose-gc'] })
    t.deepEqual({ code, stdout }, { code: 0, stdout: 'true true true\nexit 0\n' }, stderr)
  })
}

test('configure({ stackSize }) sets how deep greenlets are, and main stays as it is', async (t) => {
  const program = `${DEPTH}${HARD}
    import { execFileSync } from 'node:child_process'
    depth()
    const [own, usual] = [depth(), new Greenlet(depth).switch()]
    for (const [stackSize, frames] of [[256 * 1024, 500], [2 * 2 ** 20, 8000], [6 * 2 ** 20, 30000], [3 * 2 ** 20 + 1, 12000]]) {
      configure({ stackSize, slots: 2 })
      const times = new Greenlet(depth).switch() / own / (stackSize / 984 / 1024)
      console.log(near(times, 1), near(depth(), own), runtimeInfo().stackSize === stackSize, parked(2, frames))
      if ('${LANE}' === 'fast') console.log(parked(5, frames))
    }
    configure({})
    console.log(near(new Greenlet(depth).switch(), usual), near(depth(), own))`
  const { code, stdout, stderr } = await runProgram(program, { flags: ['--expose-gc'] })
  const each = LANE === 'fast' ? 'true true true true\ntrue\n' : 'true true true true\n'
  t.deepEqual({ code, stdout }, { code: 0, stdout: `${each.repeat(4)}true true\n` }, stderr)
})

test('calls from wasm with stacks of their own work beside large stacks, and main still overflows as before', async (t) => {
  const program = `${DEPTH}${HARD}
    import { calling, jspi } from './__test__/helpers/wasm.ts'
    depth()
    const own = depth()
    configure({ stackSize: 6 * 2 ** 20 })
    console.log(parked(2, 20000))
    if (jspi) {
      const call = jspi.promising(calling(new jspi.Suspending(() => new Promise((resolve) => setTimeout(resolve, 1, 1)))))
      console.log(await call(), near(depth(), own), parked(2, 20000))
    } else console.log(1, true, true)`
  const flags = ['--expose-gc', ...(process.versions.v8.startsWith('13') ? ['--experimental-wasm-jspi'] : [])]
  const { code, stdout, stderr } = await runProgram(program, { flags })
  t.deepEqual({ code, stdout: stdout.replace(/^\d+ /m, '1 ') }, { code: 0, stdout: 'true\n1 true true\n' }, stderr)
})

test.serial('a stackSize that is wrong or not possible is refused, and nothing changes', (t) => {
  const before = runtimeInfo()
  for (const stackSize of [0, -1, 256 * KIB - 1, 1024 * MIB + 1, 2 ** 40, 1e6 + 0.5, Infinity]) {
    const message = `stackSize must be an integer from 262144 to 1073741824, not ${stackSize}`
    t.throws(() => configure({ stackSize }), { instanceOf: RangeError, code: 'ERR_GREENLET_INVALID_ARG', message })
  }
  for (const stackSize of ['1048576', null, NaN, 2n ** 20n]) {
    const expected = { instanceOf: TypeError, code: 'ERR_GREENLET_INVALID_ARG', message: /^stackSize must be a number/ }
    t.throws(() => configure({ stackSize: stackSize as never }), expected)
  }
  const parked = new Greenlet(() => main.switch())
  parked.switch()
  t.throws(() => configure({ stackSize: MIB }), { code: 'ERR_GREENLET_SLOTS_IN_USE' })
  parked.kill()
  const code = LIMITED ? 'ERR_GREENLET_INVALID_ARG' : 'ERR_GREENLET_NO_MEMORY'
  t.throws(() => configure({ stackSize: 1024 * MIB, slots: 65_536 }), { code })
  t.deepEqual(runtimeInfo(), before)
})

test('where V8 allows only smaller stacks, the error names the largest size, which works', async (t) => {
  const program = `
    let most = 2 ** 30
    try { configure({ stackSize: most, slots: 2 }) } catch (error) {
      console.log(error.code, error instanceof RangeError)
      most = Number(/allows (\\d+) bytes/.exec(error.message)[1])
      configure({ stackSize: most })
      try { configure({ stackSize: most + 65536 }) } catch (error) { console.log(error.code) }
    }
    console.log(runtimeInfo().stackSize === most, new Greenlet((x) => x).switch('runs'))`
  const { code, stdout, stderr } = await runProgram(program)
  const refused = LIMITED ? ['ERR_GREENLET_INVALID_ARG true', 'ERR_GREENLET_INVALID_ARG'] : []
  t.deepEqual({ code, stdout }, { code: 0, stdout: [...refused, 'true runs', ''].join('\n') }, stderr)
})

test('where the address space has no place for slots of this size there are fewer', async (t) => {
  const program = `
    import { execFileSync } from 'node:child_process'
    import { readFileSync } from 'node:fs'
    const used = Number(/VmSize:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024
    runtimeInfo()
    execFileSync('prlimit', ['--pid', process.pid, '--as=' + (used + 2500 * 2 ** 20)])
    try {
      configure({ stackSize: 4 * 2 ** 20 })
      const { slots } = runtimeInfo()
      console.log(slots < 1024 && slots >= 32, new Greenlet((x) => x).switch('runs'))
    } catch (error) { console.log(error.code) }`
  const { code, stdout, stderr } = await runProgram(program)
  const expected = LANE === 'fast' ? 'true runs\n' : 'ERR_GREENLET_NO_MEMORY\n'
  t.deepEqual({ code, stdout }, { code: 0, stdout: expected }, stderr)
})
