import { Greenlet } from '../../js/index.ts'
import { leakcheck } from '../helpers/leakcheck.ts'

const { main } = Greenlet

leakcheck('148 stack_saved: a suspended greenlet has a stack, and its size grows with the depth', (t) => {
  const dig = (depth: number): number => (depth > 0 ? dig(depth - 1) + 1 : main.switch<number>())
  const g = new Greenlet(dig)
  const deep = new Greenlet(dig)
  t.is(g.stackSize, 0)
  g.switch(0)
  deep.switch(1000)
  t.true(g.stackSize > 100)
  t.true(g.stackSize < 16_384, 'a function that calls switch()')
  t.true(deep.stackSize > g.stackSize + 1000 * 16)
  t.true(deep.stackSize < 1024 * 1024)
  t.is(g.switch(5), 5)
  t.is(deep.switch(0), 1000)
  t.is(g.stackSize, 0)
  t.is(deep.stackSize, 0)
})
