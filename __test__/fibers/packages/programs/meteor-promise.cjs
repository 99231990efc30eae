const assert = require('node:assert/strict')
const Fiber = require('fibers')
const { makeCompatible } = require('meteor-promise')

makeCompatible(Promise, Fiber)
const later = (value) => new Promise((resolve) => setTimeout(resolve, 1, value))
const double = Promise.async((x) => Promise.await(later(x)) * 2)

Promise.all([1, 2, 3].map((x) => double(x)))
  .then((values) => {
    assert.deepEqual(values, [2, 4, 6])
    assert.ok(Fiber.current instanceof Fiber)
    assert.throws(() => Promise.await(Promise.reject(new Error('boom'))), /boom/)
    assert.deepEqual(Promise.awaitAll([later('a'), later('b')]), ['a', 'b'])
    console.log('ok')
  })
  .catch((error) => {
    throw error
  })
