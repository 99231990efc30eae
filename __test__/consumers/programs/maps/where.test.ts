// For vitest.

import { expect, test } from 'vitest'
import { compare } from './where.js'

test('a stack has the places that an error has', () => {
  expect(compare()).toBe(undefined)
})
