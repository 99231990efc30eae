const assert = require('node:assert/strict')
const Fiber = require('fibers')
const Future = require('fibers/future')

const fiber = Fiber((x) => Fiber.yield(x + 1) * 2)
assert.equal(fiber.run(1), 2)
assert.equal(fiber.run(21), 42)
assert.equal(process.fiberLib, Fiber)
assert.equal(require('fibers'), Fiber)
const read = Future.wrap(require('node:fs').readFile)
Fiber(() => {
  assert.match(read(__filename, 'utf8').wait(), /fibers\/future/)
  Promise.all([import('greenlets/fibers'), import('fibers')]).then(([inside, outside]) => {
    assert.equal(inside.default, Fiber)
    assert.equal(outside.default, Fiber)
    console.log('ok')
  })
}).run()
