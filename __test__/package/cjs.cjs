const assert = require('node:assert/strict')
const { Greenlet } = require('greenlets')

const gr = new Greenlet(function outer(value) {
  return Greenlet.main.switch(value + 1) * 2
})

assert.equal(gr.switch(1), 2)
assert.equal(gr.gr_stack[0].functionName, 'outer')
assert.equal(require('greenlets/testing').parkedAt(gr, ['outer']), true)
assert.equal(gr.switch(21), 42)
assert.equal(gr.dead, true)

assert.equal(require('greenlets/dump').dump().toJSON().version, 1)
assert.equal(typeof require('greenlets/inspect').inspector({ token: null }).fetch, 'function')

// The frameworks are not installed.
for (const name of ['fastify', 'h3', 'hono', 'koa']) {
  assert.equal(typeof require(`greenlets/${name}`).greenlets, 'function')
}

const { Fiber } = require('greenlets/fibers')
const { Future } = require('greenlets/fibers/future')

// import and require() load two builds, which share one engine.
import('greenlets').then(async (module) => {
  assert.equal(module.Greenlet, Greenlet)
  assert.equal((await import('greenlets/fibers')).default, Fiber)
  assert.equal((await import('greenlets/fibers/future')).default, Future)
  console.log('ok')
})
