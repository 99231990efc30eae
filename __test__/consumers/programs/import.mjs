import assert from 'node:assert/strict'
import * as greenlets from 'greenlets'
import { body } from './body.mjs'

body(greenlets, assert.equal).then(console.log)
