// AsyncLocalStorage.prototype.exit: a greenlet that is blocked in its callback has no store, and all other code keeps its store.

import { AsyncLocalStorage } from 'node:async_hooks'
import test from 'ava'
import { Greenlet, sleep, spawn, wait } from '../../js/index.ts'

const { main } = Greenlet
const { exit } = AsyncLocalStorage.prototype

/** A greenlet that is suspended in `exit()` under the store `value`, and then returns what it sees there and afterwards. */
function inExit(store: AsyncLocalStorage<unknown>, value: unknown): Greenlet {
  const g = new Greenlet(() =>
    store.run(value, () => [store.exit(() => (main.switch(), store.getStore())), store.getStore()]),
  )
  g.switch()
  return g
}

test('stores of other greenlets, of main and of async functions stay', async (t) => {
  const store = new AsyncLocalStorage<string>()
  const ms = (time: number) => new Promise((resolve) => setTimeout(resolve, time))
  const async = store.run('async', async () => {
    await ms(20)
    return store.getStore()
  })
  const other = spawn(() => store.run('other', () => (sleep(20), store.getStore())))
  const leaving = spawn(() => store.run('leaving', () => store.exit(() => (sleep(60), store.getStore()))))
  store.run('main', () => {
    const g = inExit(store, 'inside')
    t.is(store.getStore(), 'main')
    t.deepEqual(g.switch(), [undefined, 'inside'])
    t.is(store.getStore(), 'main')
  })
  t.deepEqual([await async, await other, await leaving], ['async', 'other', undefined])
})

test('greenlets leave exit() in any order', (t) => {
  const store = new AsyncLocalStorage()
  for (const order of [
    [0, 1, 2, 3],
    [3, 2, 1, 0],
    [2, 0, 3, 1],
  ]) {
    const greenlets = [0, 1, 2, 3].map((value) => inExit(store, value))
    store.run('main', () => {
      for (const i of order) {
        t.deepEqual(greenlets[i]!.switch(), [undefined, i])
        t.is(store.getStore(), 'main')
      }
    })
  }
})

test('main is in exit() while it switches', (t) => {
  const store = new AsyncLocalStorage()
  const g = new Greenlet(() => store.run('greenlet', () => (main.switch(store.getStore()), store.getStore())))
  store.run('main', () => {
    store.exit(() => {
      t.is(g.switch(), 'greenlet')
      t.is(store.getStore(), undefined)
      t.is(g.switch(), 'greenlet')
    })
    t.is(store.getStore(), 'main')
  })
})

test('a greenlet in exit() is killed, or gets an error', (t) => {
  const store = new AsyncLocalStorage()
  store.run('main', () => {
    const [first, second] = [inExit(store, 1), inExit(store, 2)]
    first.kill()
    t.is(store.getStore(), 'main')
    t.throws(() => second.throw(new RangeError('thrown in')), { message: 'thrown in' })
    t.is(store.getStore(), 'main')
  })
})

test('what is begun in exit() has no store', async (t) => {
  const store = new AsyncLocalStorage()
  const seen = await spawn(() =>
    store.run('greenlet', () =>
      store.exit(() => [
        wait(Promise.resolve().then(() => store.getStore())),
        wait(new Promise((resolve) => setTimeout(() => resolve(store.getStore())))),
        store.run('again', () => (sleep(1), store.exit(() => (sleep(1), store.getStore())))),
        store.getStore(),
      ]),
    ),
  )
  t.deepEqual(seen, [undefined, undefined, undefined, undefined])
})

test('a store that is entered in exit() ends with it', (t) => {
  const store = new AsyncLocalStorage()
  const g = new Greenlet(() =>
    store.run('outer', () => {
      store.exit(() => (store.enterWith('inner'), main.switch(store.getStore())))
      return store.getStore()
    }),
  )
  t.is(g.switch(), 'inner')
  t.is(g.switch(), 'outer')
})

test('exit() passes arguments, results and errors on, also without a store', (t) => {
  new Greenlet(() => 1).switch()
  for (const store of [new AsyncLocalStorage(), new AsyncLocalStorage()]) {
    t.is(
      store.exit((a: number, b: number) => a + b, 1, 2),
      3,
    )
    const failing = (): never => {
      throw new RangeError('own')
    }
    t.throws(() => store.exit(failing), { message: 'own' })
    t.throws(() => store.run(1, () => store.exit(failing)), { message: 'own' })
    t.is(store.getStore(), undefined)
  }
})

test('exit() has the name, length and attributes that Node gives it', (t) => {
  new Greenlet(() => 1).switch()
  const now = Object.getOwnPropertyDescriptor(AsyncLocalStorage.prototype, 'exit')!
  t.deepEqual([now.value.name, now.value.length], [exit.name, exit.length])
  t.deepEqual([now.writable, now.enumerable, now.configurable], [true, false, true])
})
