// Each test file has a realm of its own.

const { Greenlet, wait, spawn } = require('greenlets')
const { greenlets } = require('greenlets/express')

test('the second file shares the engine of the first', async () => {
  expect(typeof greenlets()).toBe('function')
  expect(await spawn(() => wait(Promise.resolve(1)) + new Greenlet(() => 2).switch())).toBe(3)
})
