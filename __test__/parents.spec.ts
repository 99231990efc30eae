import test from 'ava'
import { Greenlet, GreenletError } from '../js/index.ts'

const { main } = Greenlet

test('the parent is the current greenlet unless one is given', (t) => {
  t.is(new Greenlet().parent, main)
  t.is(new Greenlet(undefined, { parent: null }).parent, main)
  t.is(new Greenlet(undefined, { parent: undefined }).parent, main)
  const g: Greenlet = new Greenlet(() => new Greenlet().parent === g)
  t.true(g.switch())
  t.is(new Greenlet(undefined, { parent: g }).parent, g)
})

test('main has no parent, and cannot be given one', (t) => {
  t.is(main.parent, null)
  t.throws(() => (main.parent = new Greenlet()), {
    instanceOf: GreenletError,
    code: 'ERR_GREENLET_MAIN',
    message: /cannot set the parent of main/,
  })
})

test('the parent can be set while a greenlet runs', (t) => {
  const other = new Greenlet((got: unknown) => ['other got', got])
  const g: Greenlet = new Greenlet(() => {
    g.parent = other
    return 'result'
  })
  t.deepEqual(g.switch(), ['other got', 'result'])
})

test('a parent that is not a greenlet throws a TypeError that says what it is', (t) => {
  const kinds: [unknown, RegExp][] = [
    [null, /not null/],
    [undefined, /not undefined/],
    [1, /not the number 1/],
    [{}, /not an instance of Object/],
    ['42', /not '42'/],
    [Object.create(Greenlet.prototype), /not an instance of Greenlet/],
  ]
  const g = new Greenlet(() => {
    for (const [wrong, message] of kinds) {
      t.throws(() => (Greenlet.current.parent = wrong as Greenlet), { code: 'ERR_GREENLET_INVALID_ARG', message })
    }
  })
  for (const [wrong, message] of kinds) {
    t.throws(() => (g.parent = wrong as Greenlet), {
      instanceOf: TypeError,
      code: 'ERR_GREENLET_INVALID_ARG',
      message,
    })
  }
  g.switch()
  t.is(g.parent, main)
})

test('parents may not form a cycle', (t) => {
  const expected = { instanceOf: GreenletError, code: 'ERR_GREENLET_PARENT_CYCLE', message: /cyclic parent chain/ }
  const g = new Greenlet()
  t.throws(() => (g.parent = g), expected)
  const child = new Greenlet(undefined, { parent: g })
  const grandchild = new Greenlet(undefined, { parent: child })
  t.throws(() => (g.parent = grandchild), expected)
  t.is(g.parent, main)
  grandchild.parent = main
  child.parent = grandchild
  t.is(child.parent, grandchild)
})

test('the parent cannot be deleted', (t) => {
  const g = new Greenlet()
  Reflect.deleteProperty(g, 'parent')
  Reflect.deleteProperty(main, 'parent')
  t.is(g.parent, main)
  t.is(main.parent, null)
})

test('a result passes dead parents on its way', (t) => {
  const grandparent = new Greenlet(() => ['grandparent got', main.switch('ready')])
  grandparent.switch()
  const parent = new Greenlet(() => {}, { parent: grandparent })
  parent.kill()
  t.deepEqual(new Greenlet(() => 'result', { parent }).switch(), ['grandparent got', 'result'])
})
