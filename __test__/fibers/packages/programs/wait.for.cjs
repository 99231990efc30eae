const assert = require('node:assert/strict')
const fs = require('node:fs')
const wait = require('wait.for')

const object = {
  factor: 2,
  times(x, callback) {
    setTimeout(callback, 1, null, x * this.factor)
  },
}
const now = (callback) => callback(null, 'at once')

wait.launchFiber((name) => {
  assert.equal(name, 'argument')
  assert.equal(wait.for(fs.readFile, __filename, 'utf8'), fs.readFileSync(__filename, 'utf8'))
  assert.equal(wait.forMethod(object, 'times', 21), 42)
  assert.equal(wait.for(now), 'at once')
  assert.throws(() => wait.for(fs.readFile, `${__filename}.missing`), { code: 'ENOENT' })
  console.log('ok')
}, 'argument')
