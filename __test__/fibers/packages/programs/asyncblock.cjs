const assert = require('node:assert/strict')
const fs = require('node:fs')
const asyncblock = require('asyncblock')

const add = (a, b, callback) => setTimeout(callback, 1, null, a + b)

asyncblock(
  (flow) => {
    setTimeout(flow.add(), 1)
    flow.wait()
    add(1, 2, flow.add('sum'))
    fs.readFile(__filename, 'utf8', flow.add('text'))
    const both = flow.wait()
    assert.equal(both.sum, 3)
    assert.equal(both.text, fs.readFileSync(__filename, 'utf8'))
    assert.equal(flow.sync(add(3, 4, flow.callback())), 7)
    fs.readFile(`${__filename}.missing`, flow.add())
    flow.wait()
  },
  (error) => {
    assert.equal(error.code, 'ENOENT')
    console.log('ok')
  },
)
