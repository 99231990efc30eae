import assert from 'node:assert/strict'
import { Greenlet } from 'greenlets'
import * as express from 'greenlets/express'
import * as testing from 'greenlets/testing'
import { dump } from 'greenlets/dump'
import { locals, serve } from 'greenlets/inspect'
import * as tools from 'greenlets/tools'
import { watch } from 'greenlets/watchdog'
import * as http from 'greenlets/http'
import Fiber, { greenletOf } from 'greenlets/fibers'
import Future from 'greenlets/fibers/future'

const gr = new Greenlet(function outer(value) {
  const [reply] = [value].map(function inner(item) {
    return Greenlet.main.switch(item + 1)
  })
  return reply * 2
})

assert.equal(gr.switch(1), 2)
assert.deepEqual(
  gr.gr_stack.map((frame) => frame.functionName).filter((name) => name !== 'map'),
  ['inner', 'outer'],
)
assert.equal(gr.gr_frame.functionName, 'inner')
assert.equal(testing.parkedAt(gr, ['inner', 'outer']), true)
assert.equal(locals(gr.gr_frame).scopes[0].variables.item.value, 1)
assert.equal(gr.switch(21), 42)
assert.equal(gr.dead, true)
assert.deepEqual([...gr.gr_stack], [])
assert.notEqual(Object.keys(express).length, 0)
assert.equal(
  new tools.Lock().run(() => 7),
  7,
)
watch().close()
assert.equal(dump().toJSON().version, 1)
const page = await serve()
assert.equal((await fetch(page.url)).status, 401)
await page.close()
assert.equal(http.default, http.greenlets)
assert.equal(greenletOf(Fiber(() => {})), undefined)
assert.equal(new Future().isResolved(), false)
// The frameworks are not installed.
for (const name of ['fastify', 'h3', 'hono', 'koa']) {
  const door = await import(`greenlets/${name}`)
  assert.equal(door.default, door.greenlets)
  assert.equal(door.greenlets({ limit: 5 }).living.size, 0)
}
console.log('ok')
