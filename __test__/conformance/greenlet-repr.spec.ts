import { inspect } from 'node:util'
import { Greenlet } from '../../js/index.ts'
import { leakcheck } from '../helpers/leakcheck.ts'

const { main } = Greenlet

leakcheck('94 main_while_running: the text of main says that it runs', (t) => {
  t.true(inspect(Greenlet.current).endsWith(' current active started main>'), inspect(Greenlet.current))
})

leakcheck('95 main_in_background: the text of main says that it is suspended', (t) => {
  const g = new Greenlet(() => inspect(main))
  t.true(g.switch<string>().endsWith(' suspended active started main>'))
})

leakcheck('96 initial: an unstarted greenlet is pending', (t) => {
  t.true(inspect(new Greenlet()).endsWith(' pending>'))
})

leakcheck('98 dead: a dead greenlet is only dead', (t) => {
  const g = new Greenlet(() => {})
  g.switch()
  t.true(inspect(g).endsWith(' dead>'))
  t.notRegex(inspect(g), /suspended|started|active|pending/)
})

leakcheck('99 formatting_produces_native_str: the text of a greenlet is a string in every state', (t) => {
  const suspended = new Greenlet(() => main.switch())
  suspended.switch()
  const dead = new Greenlet(() => {})
  dead.switch()
  for (const g of [dead, suspended, new Greenlet(() => {}), Greenlet.current]) {
    const text = String(g)
    t.regex(text, /^<Greenlet '.+' .+>$/)
    t.is(`${g}`, text)
    t.is(inspect(g), text)
    t.is('' + g, text)
    t.is(typeof JSON.stringify(g), 'string')
  }
  suspended.kill()
})

leakcheck('100 main_greenlet_type_can_be_subclassed: the class of main can be extended', (t) => {
  const Main = main.constructor as typeof Greenlet
  class Sub extends Main {}
  const g = new Sub(() => 'ran')
  t.true(g instanceof Greenlet)
  t.regex(inspect(g), /^<Sub /)
  t.is(g.switch(), 'ran')
})

leakcheck('101 main_greenlet_is_greenlet: main is a greenlet', (t) => {
  t.true(Greenlet.current instanceof Greenlet)
  t.is(Greenlet.current, main)
  t.is(main.constructor, Greenlet)
})

leakcheck('102 greenlet_run: run is not set at first', (t) => {
  const g: Greenlet = new Greenlet(() => t.is(g.run, undefined))
  t.not(g.run, undefined)
  g.switch()
  t.true(g.dead)
  t.is(g.run, undefined)
})
