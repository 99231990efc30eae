const assert = require('node:assert/strict')
const greenlets = require('greenlets')
const { greenlets: middleware } = require('greenlets/express')
const { Lock } = require('greenlets/tools')
const { body } = require('./body.cjs')

assert.equal(typeof middleware, 'function')
assert.equal(new Lock().locked, false)
body(greenlets, assert.equal).then(console.log)
