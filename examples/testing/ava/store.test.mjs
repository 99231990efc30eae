// ava ava/store.test.mjs

import test from 'ava'
import { Greenlet, sleep, spawn } from 'greenlets'
import { noGreenletsLeft, parkedAt, stackText, untilParked } from 'greenlets/testing'
import { lock } from '../lock.cjs'
import { Store } from '../store.cjs'

// The tests are serial, because each looks for greenlets that are left in the thread.
test.afterEach.always(noGreenletsLeft)

test.serial('rows are added while the lock is held', (t) => {
  const store = new Store(lock)
  const g = new Greenlet(() => store.addAll(['a', ' b ']))
  t.is(g.switch(), 'acquire')
  t.true(parkedAt(g, ['acquire', 'addAll']))
  t.is(store.size, 0)
  t.snapshot(stackText(g))
  t.is(g.switch(), 2)
})

test.serial('no row is added where the lock fails', (t) => {
  const store = new Store(lock)
  const g = new Greenlet(() => store.addAll(['a']))
  g.switch()
  t.throws(() => g.throw(new Error('no lock')), { message: 'no lock' })
  t.is(store.size, 0)
})

test.serial('a store whose lock sleeps', async (t) => {
  const store = new Store({ acquire: () => sleep(60_000), release() {} })
  const g = spawn(() => store.addAll(['a']))
  await untilParked(g, { at: ['acquire', 'addAll'] })
  g.interrupt(new Error('enough'))
  await t.throwsAsync(g, { message: 'enough' })
})
