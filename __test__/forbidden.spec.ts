// Moments when a stack must not be left. A switch throws there before it has any effect, and works again later.

import vm from 'node:vm'
import test from 'ava'
import { Greenlet, GreenletError } from '../js/index.ts'
import { makePrints } from './helpers/prints.ts'
import { later } from './helpers/promises.ts'

const { main } = Greenlet
const forbidden = { instanceOf: GreenletError, code: 'ERR_GREENLET_FORBIDDEN' }

/** A macro: the program ends without an error and prints this. */
const prints = makePrints()

/** Runs `source` in a vm context whose promise jobs run at the end of each script, on the stack of that script. */
function runWithJobs(source: string, globals: object): unknown {
  const context = vm.createContext({ ...globals }, { microtaskMode: 'afterEvaluate' })
  return vm.runInContext(source, context)
}

test('a greenlet cannot be left while it runs promise jobs of a vm context, and can be left afterwards', (t) => {
  const log: unknown[] = []
  const g = new Greenlet(
    () => {
      runWithJobs('Promise.resolve().then(() => leave())', {
        leave: () => t.throws(() => main.switch('from a job'), { ...forbidden, message: /'main'.*promise jobs/ }),
      })
      log.push(main.switch('after'))
    },
    { name: 'g' },
  )
  t.is(g.switch(), 'after')
  g.switch('on')
  t.deepEqual(log, ['on'])
})

test('main can be left while it runs promise jobs, those of a vm context too', async (t) => {
  const log: unknown[] = []
  const g = new Greenlet((x) => {
    for (;;) {
      log.push(x)
      x = main.switch<never>()
    }
  })
  await Promise.resolve().then(() => g.switch('job'))
  runWithJobs('Promise.resolve().then(() => go())', { go: () => g.switch('job in vm') })
  g.switch('plain')
  t.deepEqual(log, ['job', 'job in vm', 'plain'])
})

test('promise jobs run while greenlets are suspended and vm contexts with jobs of their own exist', async (t) => {
  const contexts = Array.from({ length: 3 }, () => vm.createContext({}, { microtaskMode: 'afterEvaluate' }))
  const g = new Greenlet(() => {
    for (const context of contexts) main.switch(vm.runInContext('1 + 1', context))
  })
  for (const _ of contexts) {
    t.is(g.switch(), 2)
    t.is(await later('on time', 1), 'on time')
  }
})

for (const [what, options] of Object.entries({
  'a time limit': { timeout: 1000 },
  breakOnSigint: { breakOnSigint: true },
})) {
  test(`a greenlet cannot be left inside of a vm script with ${what}, and can be left afterwards`, (t) => {
    const inside = { leave: () => t.throws(() => main.switch(), { ...forbidden, message: /time limit/ }) }
    const g = new Greenlet(() => {
      vm.runInNewContext('leave()', inside, options)
      new vm.Script('leave()').runInContext(vm.createContext(inside), options)
      ;(globalThis as { leave?: unknown }).leave = inside.leave
      new vm.Script('leave()').runInThisContext(options)
      vm.runInThisContext('leave()', options)
      t.throws(() => vm.runInThisContext('throw new Error("own")', options), { message: 'own' })
      return main.switch('afterwards')
    })
    t.is(g.switch(), 'afterwards')
    g.switch()
    t.true(g.dead)
  })
}

test('a vm script without a limit can be left', (t) => {
  const g = new Greenlet(() => vm.runInNewContext('leave(1) + 1', { leave: (x: unknown) => main.switch(x) }, {}))
  t.is(g.switch(), 1)
  t.is(g.switch(41), 42)
})

test('main can be left inside of a vm script with a time limit', (t) => {
  const g = new Greenlet((x: number) => x + 1)
  t.is(vm.runInNewContext('go(1)', { go: (x: number) => g.switch(x) }, { timeout: 1000 }), 2)
})

test(
  'a time limit ends the script of one greenlet and nothing else',
  prints,
  `
  const vm = await import('node:vm')
  const g = new Greenlet(() => {
    try {
      vm.runInThisContext('for (;;);', { timeout: 20 })
    } catch (error) {
      main.switch(error.code)
    }
    return main.switch('free')
  })
  console.log(g.switch(), g.switch())
  setTimeout(() => console.log(g.switch('late')), 50)`,
  'ERR_SCRIPT_EXECUTION_TIMEOUT free\nlate\n',
)

test(
  'main continues after a greenlet was ended inside of its own time limit',
  prints,
  `
  const vm = await import('node:vm')
  const g = new Greenlet(() => vm.runInThisContext('for (;;);', { timeout: 5000 }))
  try {
    vm.runInNewContext('g.switch()', { g }, { timeout: 300 })
  } catch (error) {
    console.log(error.code, g.dead)
  }
  const other = new Greenlet(() => main.switch('left'))
  console.log(other.switch())`,
  'ERR_SCRIPT_EXECUTION_TIMEOUT true\nleft\n',
)
