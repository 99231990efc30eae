// GREENLETS_WARN_SHARED names two greenlets that are inside one WebAssembly instance, once for each place.

import test from 'ava'
import { type Ending, printed, runProgram } from './helpers/program.ts'

const HEAD = `
  // (module (import "e" "f" (func)) (func (export "g") call 0))
  const module = new WebAssembly.Module(new Uint8Array([0,97,115,109,1,0,0,0,1,4,1,96,0,0,2,7,1,1,101,1,102,0,0,3,2,1,0,7,5,1,1,103,0,1,10,6,1,4,0,16,0,11]))
  const make = () => new WebAssembly.Instance(module, { e: { f: () => { Greenlet.current === main ? undefined : main.switch() } } })
  const inside = (instance, name) => {
    const g = new Greenlet(function enter() { instance.exports.g() }, { name })
    g.switch()
    return g
  }
`

async function run(source: string, value = '1'): Promise<Ending> {
  return runProgram(HEAD + source, { before: `process.env.GREENLETS_WARN_SHARED = '${value}'` })
}

const WARNING =
  /^greenlets: 'second' and 'first' are inside of one WebAssembly instance \(wasm:\/\/wasm\/[\da-f]+\)\. .*\(GREENLETS_WARN_SHARED\)\n {4}at (Greenlet\.)?enter \(.*\)\n$/

test('two greenlets inside of one instance are printed, once for the place', async (t) => {
  const { code, stderr } = await run(`
    const instance = make()
    const all = ['first', 'second', 'third'].map((name) => inside(instance, name))
    for (const g of all) g.switch()
    for (const g of [inside(instance, 'fourth'), inside(instance, 'fifth')]) g.switch()`)
  t.is(code, 0)
  t.regex(stderr, WARNING)
})

test('the trace function of a program is called too', async (t) => {
  const { code, stdout, stderr } = await run(`
    let events = 0
    greenlets.settrace(() => { events++ })
    const instance = make()
    const all = ['first', 'second'].map((name) => inside(instance, name))
    greenlets.settrace(null)
    for (const g of all) g.switch()
    inside(instance, 'third')
    console.log(events)`)
  t.is(code, 0)
  t.is(stdout, '4\n')
  t.regex(stderr, WARNING)
})

test('main counts as well', async (t) => {
  const { code, stderr } = await run(`
    let g
    const shared = new WebAssembly.Instance(module, { e: { f: () => { Greenlet.current === main ? g.switch() : main.switch() } } })
    g = new Greenlet(() => shared.exports.g(), { name: 'greenlet' })
    shared.exports.g()
    g.switch()`)
  t.is(code, 0)
  t.regex(stderr, /^greenlets: 'greenlet' and 'main' are inside of one WebAssembly instance/)
})

for (const [what, source, value] of [
  ['an instance for each greenlet', `for (const g of ['a', 'b'].map((name) => inside(make(), name))) g.switch()`, '1'],
  ['one greenlet after the other', `const i = make(); inside(i, 'a').switch(); inside(i, 'b').switch()`, '1'],
  ['a greenlet that was killed inside', `const i = make(); inside(i, 'a').kill(); inside(i, 'b').switch()`, '1'],
  ['another value', `const i = make(); for (const g of ['a', 'b'].map((name) => inside(i, name))) g.switch()`, 'yes'],
] as const) {
  test(`nothing is printed: ${what}`, async (t) => {
    t.deepEqual(await run(source, value), printed(''))
  })
}

// An add-on of the tests, in a file that is called koffi.node. The real koffi has a call stack of its own.
const LIBRARY = `
  const { loadAddon } = await import('./__test__/helpers/addon.ts')
  const [koffi, other] = [loadAddon('koffi'), loadAddon('other')]
  const enter = (name, addon = koffi) => {
    const g = new Greenlet(() => addon.noScope(function callback() { main.switch() }), { name })
    g.switch()
    return g
  }
`

test('two greenlets inside of koffi are printed, once for the place', async (t) => {
  const { code, stderr } = await run(
    `${LIBRARY} for (const g of ['first', 'second', 'third'].map((name) => enter(name))) g.switch()`,
  )
  t.is(code, 0)
  t.regex(
    stderr,
    /^greenlets: 'second' and 'first' are inside of koffi, which has one call stack\. .*\(GREENLETS_WARN_SHARED\)\n {4}at callback \(.*\)\n$/,
  )
})

for (const [what, source] of [
  ['one after the other in koffi', `enter('a').switch(); enter('b').switch()`],
  ['one that was killed in koffi', `enter('a').kill(); enter('b').switch()`],
  ['two inside of another add-on', `for (const g of ['a', 'b'].map((name) => enter(name, other))) g.switch()`],
  [
    'a call of koffi that has returned',
    `for (const g of ['a', 'b'].map((name) => {
      const g = new Greenlet(() => { koffi.noScope(() => {}); other.noScope(() => main.switch()) }, { name })
      g.switch()
      return g
    })) g.switch()`,
  ],
] as const) {
  test(`nothing is printed: ${what}`, async (t) => {
    t.deepEqual(await run(LIBRARY + source), printed(''))
  })
}
