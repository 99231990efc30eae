// Jest's default: CommonJS, no flags. ts-jest, babel-jest and @swc/jest run the same tests, transformed.

const greenlets = require('greenlets')
const { body } = require('../body.cjs')

test('greenlets work, and their stacks have the frames of this program', async () => {
  expect(await body(greenlets, (found, wanted) => expect(found).toBe(wanted))).toBe('ok')
})

test('modules that are loaded again share the engine', () => {
  jest.resetModules()
  const again = require('greenlets')
  expect(again).not.toBe(greenlets)
  expect(again.Greenlet).toBe(greenlets.Greenlet)
})
