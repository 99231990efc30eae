// Without the platform package the import works, runtimeInfo() gives the reason, and the first greenlet throws.

import assert from 'node:assert/strict'
import { Greenlet, runtimeInfo, UnsupportedRuntimeError } from 'greenlets'

const { supported, reason } = runtimeInfo()
assert.equal(supported, false)
assert.match(
  reason,
  /@greenlets\/binding-linux-x64-gnu was not found; install greenlets with its optional dependencies/,
)
assert.throws(
  () => new Greenlet(() => {}).switch(),
  (error) => error instanceof UnsupportedRuntimeError && error.message.includes('@greenlets/binding-linux-x64-gnu'),
)
console.log('ok')
