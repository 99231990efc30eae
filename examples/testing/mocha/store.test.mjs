// mocha mocha/store.test.mjs

import assert from 'node:assert/strict'
import { Greenlet, sleep, spawn } from 'greenlets'
import { noGreenletsLeft, parkedAt, untilParked } from 'greenlets/testing'
import { lock } from '../lock.cjs'
import { Store } from '../store.cjs'

describe('Store', () => {
  afterEach(noGreenletsLeft)

  it('adds rows while the lock is held', () => {
    const store = new Store(lock)
    const g = new Greenlet(() => store.addAll(['a', ' b ']))
    assert.equal(g.switch(), 'acquire')
    assert.ok(parkedAt(g, ['acquire', 'addAll']))
    assert.equal(store.size, 0)
    assert.equal(g.switch(), 2)
  })

  it('adds no row where the lock fails', () => {
    const store = new Store(lock)
    const g = new Greenlet(() => store.addAll(['a']))
    g.switch()
    assert.throws(() => g.throw(new Error('no lock')), /no lock/)
    assert.equal(store.size, 0)
  })

  it('waits for its lock', async () => {
    const store = new Store({ acquire: () => sleep(60_000), release() {} })
    const g = spawn(() => store.addAll(['a']))
    await untilParked(g, { at: ['acquire', 'addAll'] })
    g.interrupt(new Error('enough'))
    await assert.rejects(g, /enough/)
  })
})
