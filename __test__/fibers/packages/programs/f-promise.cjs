const assert = require('node:assert/strict')
const fs = require('node:fs')
const { wait, run, sleep, map, context, withContext, funnel } = require('f-promise')

run(() => {
  assert.equal(wait(fs.promises.readFile(__filename, 'utf8')), fs.readFileSync(__filename, 'utf8'))
  assert.equal(
    wait((callback) => setTimeout(callback, 1, null, 5)),
    5,
  )
  assert.throws(() => wait(Promise.reject(new Error('boom'))), /boom/)
  sleep(1)
  const one = funnel(1)
  const tasks = [1, 2, 3].map((x) => run(() => one(() => wait(Promise.resolve(x)))))
  assert.deepEqual(
    tasks.map((task) => wait(task)),
    [1, 2, 3],
  )
  if (map)
    assert.deepEqual(
      map([1, 2], (x) => wait(Promise.resolve(x * 2))),
      [2, 4],
    )
  withContext(
    () => {
      sleep(1)
      assert.equal(context().user, 'Ada')
    },
    { user: 'Ada' },
  )
  return 'ok'
}).then(console.log, (error) => {
  throw error
})
