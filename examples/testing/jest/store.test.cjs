// jest jest/store.test.cjs

const { Greenlet, sleep, spawn } = require('greenlets')
const { matchers, noGreenletsLeft, stackText, untilParked } = require('greenlets/testing')
const { lock } = require('../lock.cjs')
const { Store } = require('../store.cjs')

expect.extend(matchers)
afterEach(noGreenletsLeft)

test('rows are added while the lock is held', () => {
  const store = new Store(lock)
  const g = new Greenlet(() => store.addAll(['a', ' b ']))
  expect(g.switch()).toBe('acquire')
  expect(g).toBeParkedAt(['acquire', 'addAll'])
  expect(g).not.toBeParkedAt(['release'])
  expect(store.size).toBe(0)
  expect(stackText(g)).toMatchSnapshot()
  expect(g.switch()).toBe(2)
})

test('no row is added where the lock fails', () => {
  const store = new Store(lock)
  const g = new Greenlet(() => store.addAll(['a']))
  g.switch()
  expect(() => g.throw(new Error('no lock'))).toThrow('no lock')
  expect(store.size).toBe(0)
})

test('a store whose lock sleeps', async () => {
  const store = new Store({ acquire: () => sleep(60_000), release() {} })
  const g = spawn(() => store.addAll(['a']))
  await untilParked(g, { at: ['acquire', 'addAll'] })
  g.interrupt(new Error('enough'))
  await expect(g).rejects.toThrow('enough')
})

test('a store whose lock sleeps in fake time', async () => {
  jest.useFakeTimers()
  try {
    const store = new Store({ acquire: () => sleep(60_000), release() {} })
    const first = spawn(() => store.addAll(['a']))
    await untilParked(first, { at: ['acquire', 'addAll'] })
    jest.advanceTimersByTime(60_000)
    await expect(first).resolves.toBe(1)
    const second = spawn(() => store.addAll(['b']))
    await jest.advanceTimersByTimeAsync(60_000)
    await expect(second).resolves.toBe(1)
  } finally {
    jest.useRealTimers()
  }
})
