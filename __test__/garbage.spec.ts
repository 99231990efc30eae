// A greenlet that has ended is young garbage: young collections free it, and nothing of it becomes old. If its registration
// made it old, a server would need full collections because of its requests.

import test from 'ava'
import { printed, runProgram } from './helpers/program.ts'

/**
 * Without V8's own reasons for full collections: a process that hardly allocates, as on a busy machine, and objects that it
 * makes in the old generation because others from the same place in the code lived long; or the size of what the program has loaded.
 */
const FLAGS = [
  '--expose-gc',
  '--no-memory-reducer',
  '--no-allocation-site-pretenuring',
  '--min-semi-space-size=16',
  '--initial-old-space-size=64',
]

/** Makes `count` greenlets, a hundred at a time. Prints how many full collections there were, and how the old generation grew. */
const MACRO = test.macro(async (t, make: string, count = 100_000) => {
  const ending = await runProgram(
    `
    const { PerformanceObserver, constants } = await import('node:perf_hooks')
    const { getHeapSpaceStatistics } = await import('node:v8')
    const soon = () => new Promise((resolve) => setImmediate(resolve))
    const make = ${make}
    async function makeAll(count) {
      for (let made = 0; made < count; made += 100) await Promise.all(Array.from({ length: 100 }, make))
    }
    const sizeOfOld = () => getHeapSpaceStatistics().find(({ space_name: name }) => name === 'old_space').space_used_size

    await makeAll(20_000)
    gc()
    await makeAll(20_000)
    const collections = { minor: 0, major: 0 }
    new PerformanceObserver((list) => {
      for (const { detail } of list.getEntries()) {
        if (detail.kind === constants.NODE_PERFORMANCE_GC_MINOR) collections.minor++
        if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) collections.major++
      }
    }).observe({ entryTypes: ['gc'] })
    const before = sizeOfOld()
    await makeAll(${count})
    await new Promise((resolve) => setTimeout(resolve, 10))
    console.log(collections.minor > 1, collections.major, (sizeOfOld() - before) / ${count} < 100)`,
    { flags: FLAGS },
  )
  t.deepEqual(ending, printed('true 0 true\n'))
})

test(
  '100,000 spawned greenlets that wait three times cause no full collection',
  MACRO,
  `() => spawn(() => {
  wait(Promise.resolve()); wait(Promise.resolve()); wait(Promise.resolve())
})`,
)

test('100,000 spawned greenlets that do not wait cause none', MACRO, `() => spawn(() => 1)`)

test(
  '100,000 greenlets that are resumed in another turn of the event loop cause none',
  MACRO,
  `() => {
  const g = new Greenlet(() => main.switch())
  g.switch()
  return soon().then(() => g.switch())
}`,
)

test(
  '100,000 greenlets that start in another turn cause none',
  MACRO,
  `() => {
  const g = new Greenlet(() => 1)
  return soon().then(() => g.switch())
}`,
)

test(
  // A kill makes 2.5 KB of garbage: the place of the wait, which tells cleanup from starting over.
  '50,000 greenlets that are killed in wait() cause none',
  MACRO,
  `() => {
  const g = new Greenlet(() => wait(new Promise(() => {})))
  g.switch()
  return soon().then(() => g.kill())
}`,
  50_000,
)

test(
  '30,000 spawned greenlets that are killed in wait() cause none',
  MACRO,
  `() => {
  const g = spawn(() => wait(new Promise(() => {})))
  return soon().then(() => g.kill())
}`,
  30_000,
)
