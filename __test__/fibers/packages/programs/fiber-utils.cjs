const assert = require('node:assert/strict')
const fs = require('node:fs')
const Fiber = require('fibers')
const Future = require('fibers/future')
const { FiberUtils } = require('fiber-utils')

const utils = new FiberUtils(Fiber, Future)
const guard = {}
const log = []
let running = 0

const job = (name) => () =>
  utils.synchronize(guard, 'key', () => {
    assert.equal(++running, 1)
    utils.sleep(1)
    assert.equal(utils.wrap(fs.readFile)(__filename, 'utf8'), fs.readFileSync(__filename, 'utf8'))
    running--
    log.push(name)
  })

for (const name of ['a', 'b', 'c']) utils.ensure(job(name))
process.on('exit', () => {
  assert.deepEqual(log, ['a', 'b', 'c'])
  console.log('ok')
})
