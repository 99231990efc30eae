// Collections inside an add-on's callback of the collector. V8 calls no callbacks for them, and they must visit all stacks, also
// those that a scavenge need not visit.

import test from 'ava'
import { printed, runProgram } from './helpers/program.ts'

/** Registers the callback before or after the callbacks of greenlets, which the first greenlet registers. */
const program = (when: number, first: boolean, then: string) => `
  const addon = (await import('./__test__/helpers/addon.ts')).loadCollections()
  ${first ? `addon.collecting(${when}, false)` : ''}
  const made = []
  /** Objects that only the stack of this greenlet holds. */
  function hold(i) {
    const objects = Array.from({ length: 20 }, (_, j) => ({ i, j, text: \`\${i} \${j}\`.repeat(3) }))
    main.switch()
    return objects.every((object, j) => object.i === i && object.j === j && object.text === \`\${i} \${j}\`.repeat(3))
  }
  for (let i = 0; i < 100; i++) {
    const g = new Greenlet(hold)
    g.switch(i)
    made.push(g)
  }
  const litter = () => Array.from({ length: 1000 }, (_, i) => ({ i, text: [i] }))
  // Two scavenges, after which V8 skips them.
  for (let i = 0; i < 4; i++) { litter(); gc({ type: 'minor' }) }
  ${first ? '' : `addon.collecting(${when}, false)`}
  ${then}
  addon.allow(2)
  for (let i = 0; i < 6; i++) { litter(); gc({ type: 'minor' }) }
  console.log(addon.collections(), made.every((g) => g.switch()), made.every((g) => g.dead))`

/** A macro: no stack was fooled. */
const holds = test.macro(async (t, source: string, env: Readonly<Record<string, string>> = {}) => {
  const ending = await runProgram(source, { flags: ['--expose-gc'], env })
  t.deepEqual(ending, printed('2 true true\n'))
})

/** The store of the running greenlet is young, and V8 visits the word that holds it once for each stack. */
const youngStore = (when: number, first: boolean) => `
  const { AsyncLocalStorage } = await import('node:async_hooks')
  const addon = (await import('./__test__/helpers/addon.ts')).loadCollections()
  ${first ? `addon.collecting(${when}, true)` : ''}
  const store = new AsyncLocalStorage()
  const made = Array.from({ length: 50 }, () => new Greenlet(() => main.switch()))
  for (const g of made) g.switch()
  ${first ? '' : `addon.collecting(${when}, true)`}
  const litter = () => Array.from({ length: 1000 }, (_, i) => ({ i, text: [i] }))
  let right = 0
  addon.allow(40)
  const check = (i) => store.run({ i, text: 'store ' + i }, () => {
    litter()
    gc({ type: 'minor' })
    litter()
    const { i: now, text } = store.getStore()
    if (now === i && text === 'store ' + i) right++
  })
  for (let i = 0; i < 30; i++) check(i)
  new Greenlet(() => { for (let i = 30; i < 60; i++) check(i) }).switch()
  console.log(addon.collections(), right, made.length)`

for (const [when, name] of ['before', 'after'].entries()) {
  test(`V8 collects in a callback ${name} a scavenge, older than greenlets`, holds, program(when, true, ''))
  test(`V8 collects in a callback ${name} a scavenge, newer than greenlets`, holds, program(when, false, ''))
  for (const [first, age] of [true, false].map((first) => [first, first ? 'older' : 'newer'] as const)) {
    test(`a young store outlives a scavenge in a callback ${name} a scavenge, ${age} than greenlets`, async (t) => {
      const ending = await runProgram(youngStore(when, first), { flags: ['--expose-gc'] })
      t.deepEqual(ending, printed('40 60 50\n'))
    })
  }
}
test('no false alarm of GREENLETS_VERIFY_GC', holds, program(0, false, ''), { GREENLETS_VERIFY_GC: '1' })
test(
  'a PerformanceObserver has callbacks as well',
  holds,
  program(
    0,
    false,
    `new (await import('node:perf_hooks')).PerformanceObserver(() => {}).observe({ entryTypes: ['gc'] })`,
  ),
)

// V8 13 and newer end the process where a callback before marking collects. Older ones call no callbacks for that collection.
if (Number(process.versions.node.split('.')[0]) < 24) {
  test('a switch is refused after a collection inside of another callback of the collector', async (t) => {
    const program = `
      const addon = (await import('./__test__/helpers/addon.ts')).loadCollections()
      const g = new Greenlet(() => main.switch())
      g.switch()
      const log = []
      // Ends a marking that is in progress.
      gc()
      addon.marking(() => {
        try { g.switch() } catch (error) { log.push(error.code, /garbage collector/.test(error.message)) }
      })
      console.log(addon.collections(), log.join(' '), g.dead)
      g.switch()
      console.log(g.dead)`
    const ending = await runProgram(program, { flags: ['--expose-gc'] })
    t.deepEqual(ending, printed('1 ERR_GREENLET_FORBIDDEN true false\ntrue\n'))
  })
}
