// node --test node-test/store.test.mjs

import assert from 'node:assert/strict'
import test, { afterEach } from 'node:test'
import { Greenlet, sleep, spawn } from 'greenlets'
import { noGreenletsLeft, parkedAt, stackText, untilParked } from 'greenlets/testing'
import { lock } from '../lock.cjs'
import { Store } from '../store.cjs'

afterEach(noGreenletsLeft)
// Stacks are text of lines already. Node.js 20 has no snapshots.
test.snapshot?.setDefaultSnapshotSerializers([String])

test('rows are added while the lock is held', (t) => {
  const store = new Store(lock)
  const g = new Greenlet(() => store.addAll(['a', ' b ']))
  assert.equal(g.switch(), 'acquire')
  assert.ok(parkedAt(g, ['acquire', 'addAll']))
  assert.equal(store.size, 0)
  t.assert?.snapshot?.(stackText(g))
  assert.equal(g.switch(), 2)
})

test('no row is added where the lock fails', () => {
  const store = new Store(lock)
  const g = new Greenlet(() => store.addAll(['a']))
  g.switch()
  assert.throws(() => g.throw(new Error('no lock')), /no lock/)
  assert.equal(store.size, 0)
})

test('a store whose lock sleeps', async () => {
  const store = new Store({ acquire: () => sleep(60_000), release() {} })
  const g = spawn(() => store.addAll(['a']))
  await untilParked(g, { at: ['acquire', 'addAll'] })
  g.interrupt(new Error('enough'))
  await assert.rejects(g, /enough/)
})

test('a store whose lock sleeps in fake time', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'setImmediate'] })
  const store = new Store({ acquire: () => sleep(60_000), release() {} })
  const g = spawn(() => store.addAll(['a']))
  await untilParked(g, { at: ['acquire', 'addAll'] })
  t.mock.timers.tick(60_000)
  assert.equal(await g, 1)
})
