import { compare } from './where'

test('a stack has the places that an error has', () => {
  expect(compare()).toBe(undefined)
})
