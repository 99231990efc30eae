import { Greenlet, spawn, wait } from 'greenlets'
import { greenlets } from 'greenlets/express'

function outer(): string {
  return [1].map(function inner() {
    return Greenlet.main.switch('out') as string
  })[0]!
}

test('imports that are compiled to require()', async () => {
  const greenlet = new Greenlet(outer)
  expect(greenlet.switch()).toBe('out')
  expect(greenlet.gr_stack.map((frame) => frame.functionName)).toEqual(['inner', 'map', 'outer'])
  expect(greenlet.switch('in')).toBe('in')
  expect(await spawn(() => wait(Promise.resolve(5)))).toBe(5)
  expect(typeof greenlets()).toBe('function')
})
