// State that V8 keeps once for the thread although it belongs to a stack: arrays that are being joined, an error that is being
// formatted, and the scopes in which promise jobs wait. Each greenlet must have its own. docs/internals/per-stack-state.md lists all of it.

import { inspect } from 'node:util'
import vm from 'node:vm'
import test from 'ava'
import { Greenlet, sleep, spawn } from '../js/index.ts'
import { makePrints } from './helpers/prints.ts'

const { main } = Greenlet

/** An element that switches to main while it is converted, and becomes what main sends. */
const parking = (): { toString(): string; toLocaleString(): string } => {
  const park = (): string => String(main.switch())
  return { toString: park, toLocaleString: park }
}

/** A macro: the program ends without an error and prints this. */
const prints = makePrints()

const WAYS: Readonly<Record<string, (list: unknown[]) => string>> = {
  join: (list) => list.join(),
  toString: (list: unknown[]) => list.toString(),
  toLocaleString: (list: unknown[]) => list.toLocaleString(),
  String: (list) => String(list),
  template: (list: unknown) => `${list as string}`,
  'concatenation with a string': (list) => '' + (list as unknown as string),
  'property key': (list) => Object.keys({ [list as unknown as string]: 1 })[0]!,
  'nested array': (list) => [list].join(),
  'array-like object': (list) => Array.prototype.join.call({ ...list, length: list.length }),
}

for (const [name, way] of Object.entries(WAYS)) {
  test(`one array is joined by a greenlet and, meanwhile, by main: ${name}`, (t) => {
    let onMain = false
    const park = (): string => (onMain ? 'm' : String(main.switch()))
    const list = ['a', { toString: park, toLocaleString: park }, 'z']
    const g = new Greenlet(way)
    g.switch(list)
    onMain = true
    t.is(way(list), 'a,m,z')
    t.is(g.switch('g'), 'a,g,z')
    t.is(way(list), 'a,m,z')
  })
}

test('main is suspended in the middle of a join, and greenlets join the same array', (t) => {
  const list: unknown[] = ['a']
  const g = new Greenlet(() => {
    list[1] = 'from the greenlet'
    return list.join()
  })
  list[1] = { toString: () => g.switch() }
  t.is(list.join(), 'a,a,from the greenlet')
})

test('greenlets that join at the same time end in any order', (t) => {
  const orders = [
    [0, 1, 2, 3, 4],
    [4, 3, 2, 1, 0],
    [2, 0, 4, 1, 3],
  ]
  for (const order of orders) {
    const all = order.map((_, i) => new Greenlet(() => [parking(), [i, [parking()]], parking()].join('-')))
    for (const g of all) g.switch()
    for (const i of order) all[i]!.switch(`a${i}`)
    for (const i of order) all[i]!.switch(`b${i}`)
    t.deepEqual(
      order.map((i) => all[i]!.switch('c')),
      order.map((i) => `a${i}-${i},b${i}-c`),
    )
  }
})

test('cycles are found on each stack', (t) => {
  const cyclic: unknown[] = ['c', parking()]
  cyclic.push(cyclic, [cyclic, 'n'])
  const g = new Greenlet(() => cyclic.join())
  g.switch()
  const h = new Greenlet(() => cyclic.join())
  h.switch()
  t.is(g.switch('g'), 'c,g,,,n')
  t.is(h.switch('h'), 'c,h,,,n')
})

test('a typed array whose elements are converted by a method of the program', (t) => {
  const method = Number.prototype.toLocaleString
  const numbers = new Float64Array([1, 2])
  let parks = true
  Number.prototype.toLocaleString = function toLocaleString() {
    return parks ? String(main.switch()) : 'n'
  }
  try {
    const g = new Greenlet(() => numbers.toLocaleString())
    g.switch()
    parks = false
    t.is(numbers.toLocaleString(), 'n,n')
    t.is(g.switch('g'), 'g,n')
  } finally {
    Number.prototype.toLocaleString = method
  }
})

test('arrays of several vm contexts, joined by greenlets and by main', (t) => {
  const contexts = [1, 2].map(() => vm.createContext({ park: () => main.switch(), list: undefined }))
  const source = 'list ??= ["a", { toString: () => park() }]; list.join()'
  const greenlets = contexts.map((context) => new Greenlet(() => vm.runInContext(source, context) as string))
  for (const g of greenlets) g.switch()
  // Functions of the other contexts, called without C++ between, and contexts that are made meanwhile.
  const [first, second] = contexts.map((context) => context['list'] as unknown[])
  const direct = new Greenlet(() => [first!.join(), second!.join('-')].join('+'))
  direct.switch()
  const later = vm.createContext({ park: () => main.switch() })
  const another = new Greenlet(() => vm.runInContext('[{ toString: () => park() }, 1].join()', later) as string)
  another.switch()
  t.is(greenlets[0]!.switch('1'), 'a,1')
  t.is(greenlets[1]!.switch('2'), 'a,2')
  direct.switch('3')
  t.is(another.switch('5'), '5,1')
  t.is(direct.switch('4'), 'a,3+a-4')
})

test('an element that throws, and a greenlet that is killed in the middle of a join', (t) => {
  const list = [parking()]
  const failing = new Greenlet(() => t.throws(() => list.join(), { message: 'thrown' }))
  failing.switch()
  const killed = new Greenlet(() => list.join())
  killed.switch()
  failing.throw(new Error('thrown'))
  killed.kill()
  const g = new Greenlet(() => list.join())
  g.switch()
  t.is(g.switch('x'), 'x')
})

test(
  'joins survive collections of the arrays that they hold',
  prints,
  `const make = (i) => new Greenlet(() => {
     const list = [[{ toString: () => main.switch() }, i], { toString: () => main.switch() }]
     return list.join()
   })
   for (let round = 0; round < 20; round++) {
     const all = Array.from({ length: 50 }, (_, i) => make(i))
     for (const g of all) g.switch()
     if (round % 3 === 0) gc(); else gc({ type: 'minor' })
     for (const g of all.toReversed()) g.switch('a')
     if (round % 2 === 0) gc({ type: 'minor' })
     const results = all.map((g) => g.switch('b'))
     gc()
     if (!results.every((text, i) => text === 'a,' + i + ',b')) throw new Error(results.join())
   }
   console.log('ok')`,
  'ok\n',
  ['--expose-gc'],
)

test.serial(
  'while a greenlet is suspended in Error.prepareStackTrace, errors elsewhere are formatted as usual',
  (t) => {
    const before = Error.prepareStackTrace
    Error.prepareStackTrace = (error) => (error.message === 'park' ? main.switch() : `mine: ${error.message}`)
    try {
      const g = new Greenlet(() => new Error('park').stack)
      g.switch()
      t.is(new Error('m').stack, 'mine: m')
      const chain = new Error('outer', { cause: new Error('inner') })
      t.is((chain.cause as Error).stack, 'mine: inner')
      t.is(new Greenlet(() => chain.stack).switch(), 'mine: outer')
      t.true(inspect(new Error('inspected')).includes('mine: inspected'))
      // Two at once, which end in the order in which they began.
      const h = new Greenlet(() => new Error('park').stack)
      h.switch()
      t.is(g.switch('g'), 'g')
      t.is(new Error('m').stack, 'mine: m')
      t.is(h.switch('h'), 'h')
      t.is(new Error('m').stack, 'mine: m')
    } finally {
      Error.prepareStackTrace = before
    }
  },
)

test.serial('inside of prepareStackTrace V8 formats other errors plainly, also after a switch', (t) => {
  const before = Error.prepareStackTrace
  let nested: string | undefined
  Error.prepareStackTrace = (error) => {
    if (error.message !== 'park') return 'mine'
    main.switch()
    nested = new Error('nested').stack
    return 'parked'
  }
  try {
    const g = new Greenlet(() => new Error('park').stack)
    g.switch()
    t.is(new Error('m').stack, 'mine')
    t.is(g.switch(), 'parked')
    t.true(nested!.startsWith('Error: nested\n'))
  } finally {
    Error.prepareStackTrace = before
  }
})

test.serial('gr_stack is read while stacks are suspended in prepareStackTrace, and inside of it', (t) => {
  const before = Error.prepareStackTrace
  const leaf = (): unknown => main.switch()
  const names = (g: Greenlet): string => g.gr_stack.map((frame) => frame.functionName).join()
  Error.prepareStackTrace = (error) => (error.message === 'park' ? leaf() : names(plain))
  const plain = new Greenlet(function plain() {
    leaf()
  })
  const reading = new Greenlet(function reading() {
    return new Error('park').stack
  })
  try {
    plain.switch()
    reading.switch()
    t.is(names(plain), 'leaf,plain')
    t.true(names(reading).endsWith('reading'))
    // The same snapshot, asked again.
    t.is(names(plain), 'leaf,plain')
    t.is(new Error('x').stack, 'leaf,plain')
    t.is(new Greenlet(() => new Error('x').stack).switch(), 'leaf,plain')
  } finally {
    Error.prepareStackTrace = before
    plain.kill()
    reading.kill()
  }
})

test('a snapshot that cannot be read where the stack is nearly full is read again further out', (t) => {
  const g = new Greenlet(function parkedHere() {
    main.switch()
  })
  g.switch()
  let failures = 0
  const deeper = (): void => {
    try {
      deeper()
    } catch {
      // No more stack, or too little of it for V8 to make frames.
    }
    try {
      String(g.gr_stack)
    } catch (error) {
      if (error instanceof RangeError) failures++
      else throw error
    }
  }
  deeper()
  t.true(failures > 0)
  t.is(g.gr_stack[0]?.functionName, 'parkedHere')
  g.kill()
})

const EVALUATE = `import { Session } from 'node:inspector'
import { setTimeout as pause } from 'node:timers/promises'
globalThis.main = Greenlet.main
const session = new Session()
session.connect()
const post = (method, parameters) => { let got; session.post(method, parameters, (error, result) => { got = error ?? result }); return got }
const evaluate = (expression) => post('Runtime.evaluate', { expression }).result
`

test(
  'promise jobs run while greenlets are suspended in evaluations of an inspector',
  prints,
  `${EVALUATE}
   const g = new Greenlet(() => evaluate('main.switch() + 1').value), h = new Greenlet(() => evaluate('[main.switch(), main.switch()].join()').value)
   g.switch(); h.switch()
   await null; await pause(1)
   console.log(h.switch('a'))
   await pause(1)
   console.log(g.switch(41), h.switch('b'))
   await pause(1); console.log('promises go on')`,
  'undefined\n42 a,b\npromises go on\n',
)

test(
  'Runtime.callFunctionOn and compiled scripts are evaluations too',
  prints,
  `${EVALUATE}
   post('Runtime.enable')
   const { objectId } = evaluate('globalThis')
   const { scriptId } = post('Runtime.compileScript', { expression: 'main.switch()', sourceURL: 'x', persistScript: true })
   const compiled = new Greenlet(() => post('Runtime.runScript', { scriptId }).result.value)
   compiled.switch(); await pause(1)
   console.log(compiled.switch(6))
   const g = new Greenlet(() => post('Runtime.callFunctionOn', { objectId, functionDeclaration: 'function () { return main.switch() }' }).result.value)
   g.switch(); await pause(1)
   console.log(g.switch(7))
   console.log('promises go on')`,
  '6\n7\npromises go on\n',
)

test(
  'main is suspended in an evaluation, and greenlets that switch among each other',
  prints,
  `${EVALUATE}
   globalThis.h = new Greenlet(() => 'from h')
   globalThis.g = new Greenlet(() => { const got = evaluate('h.switch()').value; return got + main.switch() })
   h.parent = g
   console.log(evaluate('g.switch()').value)
   await pause(1)
   console.log(g.switch('!')); await pause(1); console.log('promises go on')`,
  'undefined\nfrom h!\npromises go on\n',
)

test(
  'a greenlet cannot be left inside of an evaluation with a time limit, and main can',
  prints,
  `${EVALUATE}
   import promises from 'node:inspector/promises'
   const expression = 'try { main.switch(); "left" } catch (error) { error.code }'
   console.log(new Greenlet(() => post('Runtime.evaluate', { expression, timeout: 10_000 }).result.value).switch())
   const another = new promises.Session()
   another.connect()
   const posted = new Greenlet(() => another.post('Runtime.evaluate', { expression, timeout: 10_000 })).switch()
   console.log((await posted).result.value)
   globalThis.g = new Greenlet(() => main.switch('from g'))
   console.log(post('Runtime.evaluate', { expression: 'g.switch()', timeout: 10_000 }).result.value)
   const h = new Greenlet(() => post('Runtime.evaluate', { expression }).result.value)
   h.switch()
   console.log(h.switch(), session.post.name, session.post.length)`,
  'ERR_GREENLET_FORBIDDEN\nERR_GREENLET_FORBIDDEN\nfrom g\nleft post 3\n',
)

test('joins of spawned greenlets that wait', async (t) => {
  const rows = [
    {
      toString() {
        sleep(2)
        return 'row'
      },
    },
    'end',
  ]
  t.deepEqual(await Promise.all([spawn(() => rows.join('-')), spawn(() => `${rows}`)]), ['row-end', 'row,end'])
})
