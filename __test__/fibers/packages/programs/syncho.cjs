const assert = require('node:assert/strict')
const fs = require('node:fs')
const Sync = require('syncho')

const add = (a, b, callback) => setTimeout(callback, 1, null, a + b)
const fail = (callback) => setTimeout(callback, 1, new Error('boom'))
const wrapped = ((a) => add.sync(null, a, 1)).async()

Sync(() => {
  assert.equal(add.sync(null, 2, 3), 5)
  const futures = [add.future(null, 1, 1), add.future(null, 2, 2)]
  assert.deepEqual(
    futures.map((future) => future.wait()),
    [2, 4],
  )
  assert.throws(() => fail.sync(null), /boom/)
  assert.equal(fs.readFile.sync(null, __filename, 'utf8'), fs.readFileSync(__filename, 'utf8'))
  wrapped(4, (error, sum) => {
    assert.ifError(error)
    assert.equal(sum, 5)
    console.log('ok')
  })
})
