// Native code on greenlets. greenlet tests C++ exceptions; the add-on here is written in Rust and panics, and panics are
// unwound by the same mechanism.

import test from 'ava'
import { Greenlet } from '../../js/index.ts'
import { collect } from '../helpers/collect.ts'
import { fixture, fixturePath } from '../helpers/fixture.ts'
import { leakcheck } from '../helpers/leakcheck.ts'
import { type Ending, runProgram } from '../helpers/program.ts'

const { main } = Greenlet
const native = fixture()

leakcheck('10 exception_switch: each greenlet catches the native exception of its own stack', (t) => {
  const greenlets = [0, 1, 2, 3].map((depth) => {
    const g = new Greenlet(native.panicAfter)
    g.switch(depth, () => main.switch())
    return g
  })
  for (const g of greenlets) t.is(g.state, 'suspended')
  t.deepEqual(
    greenlets.map((g) => g.switch()),
    [0, 1, 2, 3],
  )
  for (const g of greenlets) t.true(g.dead)
})

/** Runs `action` with a native add-on. An error that `action` throws ends the process. */
function crash(action: string): Promise<Ending> {
  return runProgram(`
    import { createRequire } from 'node:module'
    const native = createRequire(import.meta.url)(${JSON.stringify(fixturePath())})
    console.log('is running')
    ${action}
    console.log('survived')
  `)
}

const MESSAGE = /Thrown from an extension\./

test('11 unhandled_nonstd_exception_aborts: a panic in a function that must not panic ends the process', async (t) => {
  const { signal, stdout, stderr } = await crash('new Greenlet(() => native.abort()).switch()')
  t.deepEqual({ signal, stdout }, { signal: 'SIGABRT', stdout: 'is running\n' })
  t.regex(stderr, MESSAGE)
})

test('12 unhandled_std_exception_aborts: an uncaught panic ends the process', async (t) => {
  const { signal, stdout, stderr } = await crash(`
    const other = new Greenlet(() => native.callCatching(() => main.switch()))
    other.switch()
    new Greenlet(() => { try { native.panic() } catch { console.log('caught by JavaScript') } }).switch()
  `)
  t.deepEqual({ signal, stdout }, { signal: 'SIGABRT', stdout: 'is running\n' })
  t.regex(stderr, MESSAGE)
})

test("13 unhandled_std_exception_as_greenlet_function_aborts: an uncaught panic in a greenlet's function ends the process", async (t) => {
  const { signal, stdout, stderr } = await crash('new Greenlet(native.panic).switch()')
  t.deepEqual({ signal, stdout }, { signal: 'SIGABRT', stdout: 'is running\n' })
  t.regex(stderr, MESSAGE)
})

test('14 unhandled_exception_in_greenlet_aborts: a native catch on another stack does not catch it', async (t) => {
  const { signal, stdout, stderr } = await crash(`
    new Greenlet(() => native.callCatching(() => new Greenlet(() => native.panic()).switch())).switch()
  `)
  t.deepEqual({ signal, stdout }, { signal: 'SIGABRT', stdout: 'is running\n' })
  t.regex(stderr, MESSAGE)
  t.notRegex(stderr, /not thrown on/)
})

test('15 leak_test_exception_switch_and_do_in_g2: errors through native frames leave no greenlets behind', async (t) => {
  const before = Greenlet.all().length
  const error = new Error('boom')
  for (let i = 0; i < 1000; i++) {
    const caught = t.throws(() =>
      native.callCatching(() =>
        new Greenlet(() => {
          throw error
        }).switch(),
      ),
    )
    t.is(caught, error)
  }
  await collect()
  t.is(Greenlet.all().length, before)
})
