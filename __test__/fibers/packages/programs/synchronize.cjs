const assert = require('node:assert/strict')
const fs = require('node:fs')
const sync = require('synchronize')

const add = (a, b, callback) => setTimeout(callback, 1, null, a + b)
const object = { add, fail: (callback) => setTimeout(callback, 1, new Error('boom')) }
sync(object, 'add', 'fail')

sync.fiber(() => {
  assert.equal(sync.await(add(1, 2, sync.defer())), 3)
  assert.equal(object.add(3, 4), 7)
  assert.throws(() => object.fail(), /boom/)
  sync.parallel(() => {
    add(1, 1, sync.defer())
    add(2, 2, sync.defer())
  })
  assert.deepEqual(sync.await(), [2, 4])
  assert.equal(sync.await(fs.readFile(__filename, 'utf8', sync.defer())), fs.readFileSync(__filename, 'utf8'))
  console.log('ok')
})
