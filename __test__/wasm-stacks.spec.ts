// Greenlets beside wasm calls that V8 suspends on stacks of their own (JavaScript promise integration, JSPI).

import test from 'ava'
import { Greenlet, GreenletError } from '../js/index.ts'
import { fastOnly, NO_END } from './helpers/lane.ts'
import { makePrints } from './helpers/prints.ts'
import { calling, jspi } from './helpers/wasm.ts'

const { main } = Greenlet

/** The head of each program. `litter` causes a few collections of young objects. */
const HEAD = `
  const { calling, jspi, suspendedFor } = await import('./__test__/helpers/wasm.ts')
  const litter = (n) => { const kept = []; for (let i = 0; i < n; i++) { kept.push({ i, text: 'x' + i }); if (kept.length > 5000) kept.length = 0 } }
  const parked = () => { const g = new Greenlet(() => { const own = { n: 42 }; main.switch('parked'); return own.n }); g.switch(); return g }
  const { PerformanceObserver, constants } = await import('node:perf_hooks')
  const kinds = { [constants.NODE_PERFORMANCE_GC_MINOR]: 'scavenge', [constants.NODE_PERFORMANCE_GC_MAJOR]: 'full' }
  let seen = new Set()
  new PerformanceObserver((list) => { for (const { detail } of list.getEntries()) seen.add(kinds[detail.kind]) }).observe({ entryTypes: ['gc'] })
  const collections = async (work) => {
    await new Promise((resolve) => setTimeout(resolve, 20))
    seen = new Set()
    work()
    await new Promise((resolve) => setTimeout(resolve, 20))
    return seen.has('scavenge') ? 'scavenges' : 'full ones only'
  }
`

/** A macro: the program ends without an error and prints this. */
const prints = makePrints({ head: HEAD, flags: ['--expose-gc'] })

if (jspi === undefined) {
  test('this Node has no JSPI, and greenlets do not see any', (t) => {
    const g = new Greenlet(() => calling(() => main.switch('out of wasm'))())
    t.is(g.switch(), 'out of wasm')
    t.is(g.switch(41), 42)
  })

  test(
    "V8's experiment before JSPI is refused with a reason",
    prints,
    `const { supported, reason } = runtimeInfo()
    console.log(supported, /experimental wasm stack switching/.test(reason))
    try { new Greenlet() } catch (error) { console.log(error instanceof UnsupportedRuntimeError) }`,
    'false true\ntrue\n',
    ['--experimental-wasm-stack-switching'],
  )
} else {
  const { promising, Suspending } = jspi

  test('a stack cannot be left inside of a promising wasm call, and can be left afterwards', async (t) => {
    const expected = { instanceOf: GreenletError, code: 'ERR_GREENLET_FORBIDDEN', message: /promising wasm call/ }
    const g = new Greenlet(() => {
      const inside = promising(calling(() => (t.throws(() => main.switch(), expected), 1)))()
      return main.switch(inside)
    })
    const inside = g.switch()
    t.is(await inside, 2)
    const outside = promising(calling(() => (t.throws(() => g.switch(), expected), 1)))()
    t.is(await outside, 2)
    const suspending = new Suspending(async () => (t.throws(() => g.switch(), expected), 1))
    t.is(await promising(calling(suspending))(), 2)
    t.is(g.switch('end'), 'end')
  })

  test('a suspended greenlet can be read inside of a promising wasm call', async (t) => {
    const g = new Greenlet(function body() {
      main.switch()
    })
    g.switch()
    const read = promising(calling(() => g.gr_stack.length))
    t.is(await read(), 2)
    t.is(g.gr_frame?.functionName, 'body')
    g.kill()
  })

  const both = `
    const all = Array.from({ length: 20 }, parked)
    const calls = Array.from({ length: 20 }, (_, i) => suspendedFor(20 + i))
    litter(1e6)
    calls.push(...Array.from({ length: 20 }, (_, i) => suspendedFor(i)))
    litter(1e6)
    all.push(...Array.from({ length: 20 }, parked))
    const results = await Promise.all(calls)
    console.log(results.reduce((a, b) => a + b), all.map((g) => g.switch()).every((n) => n === 42))`
  for (const flags of [
    [],
    ['--stress-compaction'],
    ['--gc-interval=1000'],
    ['--stress-scavenge=50'],
    ['--stress-incremental-marking'],
    ['--single-threaded'],
    ['--minor-ms'],
  ]) {
    const few = flags.length > 0 && !flags.includes('--single-threaded') && !flags.includes('--minor-ms')
    test(
      `greenlets and wasm calls are suspended at the same time ${flags.join(' ')}`,
      prints,
      few ? both.replaceAll('1e6', '2e4') : both,
      `${20 * 20 + 190 + 190 + 40} true\n`,
      flags,
    )
  }

  test(
    'a wasm call that was suspended before the first greenlet',
    prints,
    `
    const call = suspendedFor(50)
    const g = parked()
    litter(1e6)
    console.log(await call, g.switch())`,
    '51 42\n',
  )

  // What V8 keeps of a suspended call has bytes that are never set, so they may look like anything.
  test(
    'many wasm calls that were suspended before the first greenlet',
    prints,
    `
    const calls = Array.from({ length: 40 }, (_, i) => suspendedFor(50 + i))
    const g = parked()
    console.log((await Promise.all(calls)).length, g.switch())`,
    '40 42\n',
  )

  test(
    'collections inside of a promising wasm call while greenlets are suspended',
    prints,
    `
    const g = parked()
    const collecting = jspi.promising(calling(() => { litter(1e6); gc(); gc({ type: 'minor' }); return g.gr_stack.length }))
    console.log(await collecting(), g.switch())`,
    '2 42\n',
  )

  test(
    'a wasm call that is suspended in a greenlet continues after the greenlet has ended',
    prints,
    `
    const calls = []
    for (let i = 0; i < 30; i++) new Greenlet(() => { calls.push(suspendedFor(i)); litter(1e5) }).switch()
    console.log((await Promise.all(calls)).reduce((a, b) => a + b))`,
    `${435 + 30}\n`,
  )

  test(
    'a greenlet that made a promising call keeps its own stack limit',
    prints,
    `
    const overflow = () => { let depth = 0; const down = () => { depth++; down() }; try { down() } catch (error) { return error instanceof RangeError && depth > 500 } }
    const g = new Greenlet(() => {
      const inside = jspi.promising(calling(() => Number(overflow())))
      const calls = [inside(), suspendedFor(5)]
      main.switch([overflow(), calls])
      return overflow()
    })
    const [after, calls] = g.switch()
    console.log(after, await Promise.all(calls), overflow(), g.switch(), overflow())`,
    'true [ 2, 6 ] true true true\n',
  )

  fastOnly(test, NO_END)(
    'while greenlets and wasm calls are both suspended only full collections run, before and after it all kinds',
    prints,
    `
    const g = parked()
    console.log(await collections(() => litter(2e6)))
    const call = suspendedFor(100_000)
    litter(1e6)
    console.log(await collections(() => litter(2e6)))
    const short = suspendedFor(1)
    await short
    console.log(await collections(() => litter(2e6)))
    g.kill()
    console.log(await collections(() => litter(2e6)))
    process.exit()`,
    'scavenges\nfull ones only\nfull ones only\nscavenges\n',
  )

  test(
    'a program that makes no greenlet keeps its collections, whatever wasm calls it makes',
    prints,
    `
    console.log(runtimeInfo().supported)
    const call = suspendedFor(300)
    console.log(await collections(() => litter(2e6)))
    console.log(await call)`,
    'true\nscavenges\n301\n',
  )

  test(
    'a Worker that uses both does not stop the others from using them',
    prints,
    `
    const { Worker } = await import('node:worker_threads')
    const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(\`
      const { greenlets } = await import('\${new URL('__test__/torture/lib/load.mjs', 'file://' + process.cwd() + '/')}')
      const { Greenlet } = greenlets
      const g = new Greenlet(() => Greenlet.main.switch())
      g.switch()
      const bytes = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 2, 7, 1, 1, 101, 1, 102, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 99, 0, 1, 10, 6, 1, 4, 0, 16, 0, 11])
      const f = new WebAssembly.Suspending(() => new Promise((resolve) => setTimeout(resolve, 100)))
      const call = WebAssembly.promising(new WebAssembly.Instance(new WebAssembly.Module(bytes), { e: { f } }).exports.c)()
      const kept = []
      for (let i = 0; i < 1e6; i++) { kept.push({ i }); if (kept.length > 5000) kept.length = 0 }
      await call
    \`)))
    const code = await new Promise((resolve) => worker.once('exit', resolve))
    console.log(code, await collections(() => litter(2e6)))`,
    '0 scavenges\n',
  )
}
