import { Greenlet, gettrace, settrace } from '../../js/index.ts'
import { sameItems } from '../helpers/identity.ts'
import { leakcheck } from '../helpers/leakcheck.ts'

const { main } = Greenlet
class SomeError extends Error {}

type Action = [event: string, origin: Greenlet, target: Greenlet]

/** Like greenlet's GreenletTracer: the events while `body` ran. */
function traced(body: () => void, fail = false): Action[] {
  const actions: Action[] = []
  const before = settrace((event, { origin, target }) => {
    actions.push([event, origin, target])
    if (fail) throw new SomeError()
  })
  try {
    body()
  } finally {
    settrace(before)
  }
  return actions
}

leakcheck('156 a_greenlet_tracing: the tracer is called for every arrival, also at the end of a greenlet', (t) => {
  const g1 = new Greenlet(() => {})
  const g2 = new Greenlet(() => {
    throw new SomeError()
  })
  const actions = traced(() => {
    g1.switch()
    t.throws(() => g2.switch(), { instanceOf: SomeError })
  })
  // prettier-ignore
  sameItems(t, actions.flat(), [
    'switch', main, g1,
    'switch', g1, main,
    'switch', main, g2,
    'throw', g2, main,
  ])
  t.is(gettrace(), null)
})

leakcheck('157 b_exception_disables_tracing: a tracer that throws is unset, and the switch throws its error', (t) => {
  const g = new Greenlet(() => main.switch())
  g.switch()
  const actions = traced(() => {
    t.throws(() => g.switch(), { instanceOf: SomeError })
    t.is(gettrace(), null)
  }, true)
  sameItems(t, actions.flat(), ['switch', main, g])
  t.true(g.dead, 'it was thrown where the switch arrived')
})

leakcheck('158 set_same_tracer_twice: the same tracer may be set again', (t) => {
  const tracer = (): void => {}
  t.is(settrace(tracer), null)
  t.is(settrace(tracer), tracer)
  t.is(gettrace(), tracer)
  t.is(settrace(null), tracer)
  t.is(gettrace(), null)
})
