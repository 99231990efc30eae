import { Greenlet, GreenletError } from '../../js/index.ts'
import { leakcheck } from '../helpers/leakcheck.ts'

const { main } = Greenlet
const CYCLE = { instanceOf: GreenletError, code: 'ERR_GREENLET_PARENT_CYCLE', message: /cyclic parent chain/ }

leakcheck('87 cannot_delete_parent: the parent cannot be deleted', (t) => {
  const g = new Greenlet(() => {})
  delete (g as { parent?: unknown }).parent
  t.is(g.parent, Greenlet.current)
  t.throws(() => void ((g as { parent: unknown }).parent = undefined), { instanceOf: TypeError })
  t.is(g.parent, Greenlet.current)
})

leakcheck('88 cannot_delete_parent_of_main: the parent of main cannot be deleted either', (t) => {
  delete (main as { parent?: unknown }).parent
  t.is(main.parent, null)
  t.true('parent' in main)
})

leakcheck('89 main_greenlet_parent_is_none: main has no parent', (t) => {
  t.is(main.parent, null)
  t.is(new Greenlet(() => main.parent).switch(), null)
})

leakcheck('90 set_parent_wrong_types: only a greenlet can be a parent', (t) => {
  const g = new Greenlet(() => main.switch())
  const check = (): void => {
    const wrong: [unknown, RegExp][] = [
      [null, /\bnull\b/],
      [undefined, /\bundefined\b/],
      [1, /\bnumber 1\b/],
      [{}, /\bObject\b/],
      ['42', /'42'/],
      [Object.create(g), /\bGreenlet\b/],
    ]
    for (const [parent, message] of wrong) {
      const expected = { instanceOf: TypeError, code: 'ERR_GREENLET_INVALID_ARG', message }
      t.throws(() => (g.parent = parent as Greenlet), expected)
      if (parent === null || parent === undefined) continue
      t.throws(() => new Greenlet(null, { parent: parent as Greenlet }), expected)
    }
    t.is(g.parent, main)
  }
  check()
  g.switch()
  check()
  g.switch()
  t.true(g.dead)
  check()
})

leakcheck('91 trivial_cycle: a greenlet cannot be its own parent', (t) => {
  const g = new Greenlet(() => {})
  t.throws(() => (g.parent = g), CYCLE)
  t.is(g.parent, main)
})

leakcheck('92 trivial_cycle_main: main cannot get a parent', (t) => {
  for (const parent of [main, new Greenlet(() => {})]) {
    t.throws(() => (main.parent = parent), {
      instanceOf: GreenletError,
      code: 'ERR_GREENLET_MAIN',
      message: /cannot set the parent of main/,
    })
  }
  t.is(main.parent, null)
})

leakcheck('93 deeper_cycle: a descendant cannot become the parent', (t) => {
  const [g1, g2, g3] = [new Greenlet(() => {}), new Greenlet(() => {}), new Greenlet(() => 'end')]
  g1.parent = g2
  g2.parent = g3
  t.throws(() => (g3.parent = g1), CYCLE)
  t.is(g3.parent, main)
  t.is(g1.switch(), 'end', 'up the chain that has stayed as it was')
})
