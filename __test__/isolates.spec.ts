// Isolates that an add-on makes and enters on the thread of Node, as isolated-vm does. V8 keeps a stack limit for each of them. Each
// program runs in its own process, because a wrong limit is a crash.

import test from 'ava'
import { makePrints } from './helpers/prints.ts'

const HEAD = `
  const load = async () => {
    const addon = (await import('./__test__/helpers/addon.ts')).loadIsolates()
    process.on('exit', addon.end)
    return addon
  }
  const in_ = (fn) => { let value; new Greenlet(() => { value = fn() }).switch(); return value }
  const error = (fn) => { try { return fn() } catch (e) { return e.code + ' ' + e.message } }
  // What the code returns that uses little stack, and what one returns that uses all of it.
  const RECURSE = 'let n = 0; (function f() { n++; f() })()'
  const DEEP = 'let depth = 0; try { (function f() { depth++; f() })() } catch (e) {} ; depth > 5000 ? 1 : 0'
  const both = ({ run }, isolate) => [run(isolate, '1 + 1'), run(isolate, RECURSE), run(isolate, '{' + DEEP + '}')].join()
`

/** A macro: the program ends without an error and prints this. */
const prints = makePrints({ head: HEAD, flags: ['--expose-gc'] })

test(
  'an isolate that main has made and entered runs in a greenlet, and endless recursion is an error there',
  prints,
  `
  const addon = await load()
  const isolate = addon.make()
  console.log(both(addon, isolate), in_(() => both(addon, isolate)), both(addon, isolate))`,
  '2,-1,1 2,-1,1 2,-1,1\n',
)

test(
  'endless recursion on main is an error in an isolate that a greenlet has made and entered',
  prints,
  `
  const addon = await load()
  let isolate
  in_(() => { isolate = addon.make(); addon.run(isolate, '1') })
  console.log(both(addon, isolate), in_(() => both(addon, isolate)), both(addon, isolate))`,
  '2,-1,1 2,-1,1 2,-1,1\n',
)

test(
  'the add-on may be loaded after the first greenlet, and in a Worker',
  prints,
  `
  in_(() => 1)
  const addon = await load()
  const isolate = addon.make()
  console.log(in_(() => both(addon, isolate)))
  const { Worker } = await import('node:worker_threads')
  new Worker(\`
    import { writeSync } from 'node:fs'
    import('./js/index.ts').then(async ({ Greenlet }) => {
      const addon = (await import('./__test__/helpers/addon.ts')).loadIsolates()
      const isolate = addon.make()
      const run = () => writeSync(1, addon.run(isolate, '1 + 1') + ' ' + addon.run(isolate, '(function f() { f() })()') + '\\\\n')
      new Greenlet(run).switch()
      run()
      addon.end(0)
    })
  \`, { eval: true })`,
  '2,-1,1\n2 -1\n2 -1\n',
)

test(
  'a greenlet may wait inside of an isolate, while others enter it and other ones',
  prints,
  `
  const addon = await load()
  const [a, b] = [addon.make(), addon.make()]
  const results = []
  const g = new Greenlet(() => results.push(addon.run(a, DEEP, () => main.switch())))
  g.switch()
  results.push(both(addon, a), both(addon, b), in_(() => both(addon, a)), in_(() => both(addon, b)))
  gc()
  g.switch()
  console.log(results.join(' '), g.dead)`,
  '2,-1,1 2,-1,1 2,-1,1 2,-1,1 1 true\n',
)

test(
  'main may switch to greenlets inside of an isolate',
  prints,
  `
  const addon = await load()
  const [a, b] = [addon.make(), addon.make()]
  const results = []
  results.push(addon.run(a, DEEP, () => results.push(in_(() => both(addon, a)), in_(() => both(addon, b)), in_(() => 'plain'))))
  console.log(results.join(' '))`,
  '2,-1,1 2,-1,1 plain 1\n',
)

test(
  'a second stack cannot be left inside of an isolate, and the error says why',
  prints,
  `
  const addon = await load()
  const [a, b] = [addon.make(), addon.make()]
  const g = new Greenlet(() => addon.run(a, '1 + 1', () => main.switch()))
  g.switch()
  console.log(in_(() => addon.run(b, '3', () => console.log(error(() => main.switch())))))
  const plain = new Greenlet(() => 'plain')
  console.log(addon.run(b, '4', () => console.log(error(() => plain.switch()).slice(0, 23))), plain.switch())
  console.log(g.switch(), g.dead)
  const h = new Greenlet(() => addon.run(b, '5', () => main.switch()))
  h.switch()
  console.log(h.switch())`,
  "ERR_GREENLET_FORBIDDEN greenlet 'main' cannot be switched to from here, inside of another V8 isolate, such as one of isolated-vm, while " +
    'another stack is suspended inside of one; switch after that has returned\n3\nERR_GREENLET_FORBIDDEN \n4 plain\n2 true\n5\n',
)

test(
  'a greenlet that was killed inside of an isolate is not inside any more',
  prints,
  `
  const addon = await load()
  const [a, b] = [addon.make(), addon.make()]
  const enter = (isolate) => { const g = new Greenlet(() => addon.run(isolate, '7', () => main.switch())); g.switch(); return g }
  const g = enter(a)
  g.kill()
  const h = enter(b)
  console.log(g.dead, h.switch(), h.dead)`,
  'true 7 true\n',
)
