import { MessageChannel, type MessagePort } from 'node:worker_threads'
import test from 'ava'
import { Greenlet } from '../js/index.ts'
import { grown, leakcheck, leaks } from './helpers/leakcheck.ts'

const { main } = Greenlet

test.serial('a body without a leak is not reported', async (t) => {
  const ended = (): void => {
    const g = new Greenlet((list: number[]) => list.map((x) => main.switch(x)))
    g.switch(Array.from({ length: 100 }, (_, i) => i))
    g.kill()
  }
  t.deepEqual(await leaks(ended), {})
})

test.serial('a leak of unstarted greenlets is found', async (t) => {
  const kept: Greenlet[] = []
  const leaked = await leaks(() => void kept.push(new Greenlet(() => {})))
  t.is(leaked.greenlets, 1)
  t.is(leaked.slots, undefined)
})

test.serial('a leak of slots is found: a suspended stack that holds its own greenlet', async (t) => {
  const leaked = await leaks(() => {
    const g: Greenlet = new Greenlet(() => main.switch(() => g))
    g.switch()
  })
  t.deepEqual([leaked.greenlets, leaked.slots], [1, 1])
  for (const g of Greenlet.all()) if (g !== main) g.kill()
})

test.serial('a leak of native references is found', async (t) => {
  const ports: MessagePort[] = []
  const leaked = await leaks(() => {
    const { port1, port2 } = new MessageChannel()
    ports.push(port1, port2)
  })
  t.true(leaked['native references']! > 0)
  t.is(leaked.greenlets, undefined)
  for (const port of ports) port.close()
})

test.serial('a leak of heap is found', async (t) => {
  const kept: unknown[] = []
  const leaked = await leaks(() => void kept.push(Array.from({ length: 200 }, Object)))
  t.true(leaked['bytes of heap']! > 1600)
  t.is(leaked.greenlets, undefined)
})

test.serial('growth that happens only once is not a leak', async (t) => {
  const cache = new Map<number, unknown>()
  let runs = 0
  t.deepEqual(await leaks(() => void cache.set(runs++ % 20, Array.from({ length: 100 }, Object))), {})
})

/** The counts of rounds in which the heap grows by these bytes. */
const heapGrowsBy = (...growth: number[]) => {
  let heap = 0
  return [0, ...growth].map((bytes) => ({
    greenlets: 0,
    slots: 0,
    'native references': 0,
    'bytes of heap': (heap += bytes),
  }))
}

test('code that is compiled and thrown away in turns is not a leak', (t) => {
  // Recorded on Node 20: 240 KB of code came and went, and the median of the last three rounds was 23 KB.
  const growth = [122_856, 23_208, -241_992, 238_128, 12_800, -250_760, 15_792, 241_144, -221_760, 23_392, 190_336]
  t.deepEqual(grown(heapGrowsBy(...growth)), {})
  t.deepEqual(grown(heapGrowsBy(...growth, 23_208, -191_600, 30_000)), {})
  t.true(grown(heapGrowsBy(...growth.map((bytes) => bytes + 30_000)))['bytes of heap']! > 800)
})

let runs = 0
leakcheck('a leakcheck is a test', async (t) => {
  await Promise.resolve()
  t.true(++runs > 0)
})
test('a leakcheck runs 50 times', (t) => t.true(runs >= 50))
