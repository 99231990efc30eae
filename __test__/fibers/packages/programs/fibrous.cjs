const assert = require('node:assert/strict')
const fs = require('node:fs')
const fibrous = require('fibrous')

const object = { add: (a, b, callback) => setTimeout(callback, 1, null, a + b) }
const work = fibrous((x) => {
  const [one, two] = [object.future.add(x, 1), object.future.add(x, 2)]
  fibrous.wait(one, two)
  assert.throws(() => fs.sync.readFile(`${__filename}.missing`), { code: 'ENOENT' })
  return one.get() + two.get() + object.sync.add(x, 3)
})

work(10, (error, sum) => {
  assert.ifError(error)
  assert.equal(sum, 36)
  console.log('ok')
})
