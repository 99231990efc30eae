const assert = require('node:assert/strict')
const Mocha = require('mocha')
const Fiber = require('fibers')
const fibers = require('mocha-fibers')

const mocha = new Mocha({ ui: 'bdd', reporter: 'dot' })
fibers(mocha.suite)
const context = {}
mocha.suite.emit('pre-require', context, null, mocha)

const pause = () => {
  const fiber = Fiber.current
  setTimeout(() => fiber.run('woken'), 1)
  return Fiber.yield()
}
let times = 0
context.describe('suite', () => {
  context.beforeEach(() => {
    assert.equal(pause(), 'woken')
    times++
  })
  context.it('suspends', () => assert.equal(pause(), 'woken'))
  context.it('calls back', (done) => setTimeout(done, 1))
})
mocha.run((failures) => {
  assert.equal(failures, 0)
  assert.equal(times, 2)
  console.log('ok')
})
