// The two builds in one thread are one engine: the same classes, the same greenlets, and no frames of either are seen.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'

const load = createRequire(import.meta.url)
const first = process.argv[2] === 'require' ? load('greenlets') : await import('greenlets')
const second = process.argv[2] === 'require' ? await import('greenlets') : load('greenlets')
const { body } = await import('./body.mjs')

assert.notEqual(first, second)
for (const name of Object.keys(first).filter((key) => !['default', 'module.exports', '__esModule'].includes(key)))
  assert.equal(first[name], second[name], name)
const greenlet = new first.Greenlet(function outer() {
  assert.equal(second.Greenlet.current, greenlet)
  return (function inner() {
    return second.Greenlet.main.switch('out')
  })()
})
assert.ok(greenlet instanceof second.Greenlet)
assert.equal(greenlet.switch(), 'out')
assert.equal(greenlet.gr_stack.map((frame) => frame.functionName).join(), 'inner,outer')
assert.equal(greenlet.switch('in'), 'in')
// Each build can be the one that the program's functions come from.
await body(first, assert.equal)
await body({ ...first, Greenlet: second.Greenlet, wait: second.wait, spawn: second.spawn }, assert.equal)
console.log('ok')
