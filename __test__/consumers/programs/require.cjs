const assert = require('node:assert/strict')
const greenlets = require('greenlets')
const { greenlets: middleware } = require('greenlets/express')
const { body } = require('./body.cjs')

assert.equal(typeof middleware, 'function')
body(greenlets, assert.equal).then(console.log)
