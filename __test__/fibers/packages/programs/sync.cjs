const assert = require('node:assert/strict')
const fs = require('node:fs')
const Sync = require('sync')

const add = (a, b, callback) => setTimeout(callback, 1, null, a + b)
const fail = (callback) => setTimeout(callback, 1, new Error('boom'))

Sync(
  () => {
    assert.equal(add.sync(null, 2, 3), 5)
    const futures = [add.future(null, 1, 1), add.future(null, 2, 2)]
    assert.deepEqual(
      futures.map((future) => future.result),
      [2, 4],
    )
    assert.throws(() => fail.sync(null), /boom/)
    Sync.sleep(2)
    return fs.readFile.sync(null, __filename, 'utf8').length
  },
  (error, length) => {
    assert.ifError(error)
    assert.equal(length, fs.readFileSync(__filename, 'utf8').length)
    console.log('ok')
  },
)
