import { inspect } from 'node:util'
import test from 'ava'
import type { Frame } from '../js/index.ts'
import { keysOf, parked } from './helpers/seed.ts'

test('gr_stack is a frozen array', (t) => {
  const g = parked()
  const stack = g.gr_stack as unknown as Frame[]
  t.true(Array.isArray(stack))
  t.true(Object.isFrozen(stack))
  t.throws(() => (stack[0] = stack[1]!), { instanceOf: TypeError })
  t.throws(() => stack.push(stack[0]!), { instanceOf: TypeError })
  t.throws(() => (stack.length = 0), { instanceOf: TypeError })
  t.throws(() => Object.defineProperty(stack, 'x', { value: 1 }), { instanceOf: TypeError })
  t.throws(() => delete stack[0], { instanceOf: TypeError })
  t.throws(() => Object.setPrototypeOf(stack, null), { instanceOf: TypeError })
  t.is(stack.length, 2)
  t.is(Object.getPrototypeOf(stack.map((frame) => frame)), Array.prototype)
  t.deepEqual(
    [...stack.entries()].map(([i, frame]) => [i, frame.functionName]),
    [
      [0, 'inner'],
      [1, 'outer'],
    ],
  )
  t.is(stack.at(-1)!.functionName, 'outer')
  t.is(
    stack.findLastIndex((frame) => frame.functionName === 'inner'),
    0,
  )
  g.kill()
})

test('a stack prints like the stack of an error', (t) => {
  const g = parked()
  const expected = /^ {4}at inner \(.*seed\.ts:\d+:\d+\)\n {4}at outer \(.*seed\.ts:\d+:\d+\)$/
  t.regex(String(g.gr_stack), expected)
  t.regex(inspect(g.gr_stack), expected)
  t.regex(inspect(g.gr_frame), /^\[frame inner \(.*\)\]$/)
  t.deepEqual(
    (JSON.parse(JSON.stringify(g.gr_stack)) as Frame[]).map((frame) => frame.functionName),
    ['inner', 'outer'],
  )
  g.kill()
})

test('detached frames stay readable, and are plain data', (t) => {
  const g = parked()
  const { gr_frame, gr_stack } = g
  const [frame, stack] = [gr_frame!.detach(), gr_stack.detach()]
  const text = String(gr_stack)
  const fields = Object.fromEntries(Object.keys(frame).map((key) => [key, gr_frame![key as keyof Frame] as unknown]))
  g.kill()
  t.is(frame.functionName, 'inner')
  t.is(frame.f_back!.functionName, 'outer')
  t.is(frame.f_back!.f_back, null)
  t.is(stack[0], frame)
  t.is(String(stack), text)
  t.true(Array.isArray(stack))
  t.deepEqual({ ...frame }, fields as never)
  t.deepEqual(structuredClone(frame), { ...frame })
  t.deepEqual(
    (JSON.parse(JSON.stringify(stack)) as Frame[]).map((copy) => copy.functionName),
    ['inner', 'outer'],
  )
  // The copy has every getter of a frame. This fails if a new getter is forgotten.
  const methods = ['valid', 'detach', 'toJSON']
  t.deepEqual(
    keysOf(gr_frame!).filter((key) => !methods.includes(key as string) && !(key in frame)),
    [],
  )
})
