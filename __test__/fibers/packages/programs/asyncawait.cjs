const assert = require('node:assert/strict')
const async = require('asyncawait/async')
const await_ = require('asyncawait/await')

const later = (value) => new Promise((resolve) => setTimeout(resolve, 1, value))
const sum = async((a, b) => await_(later(a)) + await_(later(b)))
const numbers = async.iterable((yield_, count) => {
  for (let i = 0; i < count; i++) yield_(await_(later(i)))
})
const main = async(() => {
  assert.deepEqual(await_([sum(1, 2), sum(3, 4)]), [3, 7])
  assert.throws(() => await_(Promise.reject(new Error('boom'))), /boom/)
  const seen = []
  await_(numbers(3).forEach((x) => seen.push(x)))
  assert.deepEqual(seen, [0, 1, 2])
  return 'ok'
})

main().then(console.log)
