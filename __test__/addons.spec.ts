// Greenlets that switch while native add-ons are on their stacks.

import test from 'ava'
import { Greenlet } from '../js/index.ts'
import { type Addon, loadAddon } from './helpers/addon.ts'
import { makePrints } from './helpers/prints.ts'
import { runProgram } from './helpers/program.ts'

const { main } = Greenlet
const addon = loadAddon()

/** A macro: the program ends without an error and prints this. */
const prints = makePrints({
  head: `const addon = (await import('./__test__/helpers/addon.ts')).loadAddon()\n`,
  flags: ['--expose-gc'],
})

/** Greenlets that are suspended inside of `call`. */
function inside(call: (fn: () => unknown) => unknown, count: number): Greenlet[] {
  return Array.from({ length: count }, () => {
    const g = new Greenlet(() => call(() => main.switch('in')))
    g.switch()
    return g
  })
}

for (const what of ['noScope', 'handleScopes', 'escapable'] as const satisfies (keyof Addon)[]) {
  test(`greenlets suspend inside of an add-on and end in any order: ${what}`, (t) => {
    const call = addon[what] as (fn: () => unknown) => unknown
    const greenlets = inside(call, 6)
    for (const i of [3, 0, 5, 1, 4, 2]) t.is(greenlets[i]!.switch(i), what === 'handleScopes' ? true : i)
    t.true(greenlets.every((g) => g.dead))
    t.is(
      call(() => 'still here'),
      what === 'handleScopes' ? true : ('still here' as never),
    )
  })

  test(`greenlets suspend inside of nested calls of an add-on: ${what}`, (t) => {
    const call = addon[what] as (fn: () => unknown) => unknown
    const nested = (depth: number): unknown => (depth === 0 ? main.switch('deep') : call(() => nested(depth - 1)))
    const greenlets = [3, 1, 2].map((depth) => new Greenlet(() => nested(depth)))
    for (const g of greenlets) t.is(g.switch(), 'deep')
    for (const g of greenlets) g.switch('up')
    t.true(greenlets.every((g) => g.dead))
  })
}

test('main and greenlets switch away inside of an add-on that has scopes open', (t) => {
  const g = new Greenlet(() => addon.handleScopes(() => main.switch('from the add-on')))
  t.true(addon.handleScopes(() => t.is(g.switch(), 'from the add-on')))
  t.true(addon.escapable(() => g.switch('back')))
})

test('an error crosses an add-on that has scopes open', (t) => {
  const g = new Greenlet(() => addon.escapable(() => main.switch('in')))
  g.switch()
  t.throws(() => g.throw(new RangeError('thrown in')), { message: 'thrown in' })
  const [killed] = inside(addon.handleScopes, 1)
  killed!.kill()
  t.true(killed!.dead)
})

for (const what of ['callbackScope', 'makeCallback'] as const) {
  test(`greenlets suspend inside of an add-on and end in the same or the opposite order: ${what}`, (t) => {
    for (const order of ['came', 'opposite'] as const) {
      const greenlets = inside(addon[what], 3)
      const ending = order === 'came' ? greenlets : greenlets.toReversed()
      for (const [i, g] of ending.entries()) t.is(g.switch(i), i)
      t.true(greenlets.every((g) => g.dead))
    }
  })
}

test('an add-on can be loaded twice after greenlets were made', (t) => {
  const copies = ['late', 'later'].map((name) => loadAddon(name))
  const greenlets = copies.flatMap((copy) => inside(copy.handleScopes, 3))
  const both = new Greenlet(() => copies[0]!.handleScopes(() => copies[1]!.handleScopes(() => main.switch())))
  both.switch()
  for (const g of greenlets) t.true(g.switch())
  t.true(both.switch())
})

test(
  'a program ends while greenlets are suspended inside of an add-on',
  prints,
  `
  for (let i = 0; i < 20; i++) new Greenlet(() => addon.handleScopes(() => main.switch())).switch()
  new Greenlet(() => addon.handleScopes(() => process.exit())).switch()`,
  '',
)

test(
  'an add-on works in a Worker that has its own greenlets',
  prints,
  `
  const { Worker } = await import('node:worker_threads')
  const workers = [1, 2].map(() => new Worker('./__test__/helpers/addon-worker.mjs', { execArgv: [], workerData: process.cwd() + '/target/addon/addon.node' }))
  console.log(...(await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve))))))`,
  '0 0\n',
)

// V8 13.6 and later cannot throw an exception on a stack that is neither the thread's, nor a greenlet's, nor wasm's own: without
// greenlets too, it ends the program.
const throwsAnywhere = Number.parseInt(process.versions.node) < 24 ? test : test.skip

throwsAnywhere(
  'a greenlet cannot be left while an add-on runs its JavaScript on a stack of its own, and can be left afterwards',
  prints,
  `
  const g = new Greenlet(() => {
    addon.elsewhere(() => { try { main.switch() } catch (error) { console.log(error.code, /stack of an add-on/.test(error.message)) } })
    return main.switch('after')
  })
  console.log(g.switch(), g.switch('on'), g.dead)`,
  'ERR_GREENLET_FORBIDDEN true\nafter on true\n',
)

test(
  'the finalizer of an add-on may switch',
  prints,
  `
  const g = new Greenlet(() => { for (;;) console.log(main.switch()) })
  g.switch()
  ;(() => addon.finalized({}, () => g.switch('finalized')))()
  for (let i = 0; i < 10; i++) { gc(); await new Promise((resolve) => setImmediate(resolve)) }`,
  'finalized\n',
)

test(
  'a callback of FinalizationRegistry may switch',
  prints,
  `
  const g = new Greenlet(() => { for (;;) console.log(main.switch()) })
  g.switch()
  const registry = new FinalizationRegistry((what) => g.switch(what))
  ;(() => registry.register({}, 'finalized'))()
  for (let i = 0; i < 10; i++) { gc(); await new Promise((resolve) => setImmediate(resolve)) }`,
  'finalized\n',
)

const collected = (when: 0 | 1) => `
  const log = []
  const g = new Greenlet(() => main.switch())
  g.switch()
  addon.collecting(${when}, () => { try { g.switch() } catch (error) { log.push(error.code, /garbage collector/.test(error.message)) } })
  gc()
  console.log(log.join(' '), g.dead)
  g.switch()
  console.log(g.dead)`

if (process.versions.node.startsWith('20.')) {
  for (const [when, name] of ['prologue', 'epilogue'].entries()) {
    test(
      `switching in the ${name} of a collection throws`,
      prints,
      collected(when as 0 | 1),
      'ERR_GREENLET_FORBIDDEN true false\ntrue\n',
    )
  }
} else {
  test('V8 refuses to run JavaScript during a collection', async (t) => {
    const head = `const addon = (await import('./__test__/helpers/addon.ts')).loadAddon()\n`
    const { code, stderr } = await runProgram(head + collected(0), { flags: ['--expose-gc'] })
    t.not(code, 0)
    t.regex(stderr, /Invoke in DisallowJavascriptExecutionScope/)
  })
}
